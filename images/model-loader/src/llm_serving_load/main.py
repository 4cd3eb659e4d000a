"""``llm-serving-load``: loads a model into a cache, or verifies that one is complete."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from llm_serving_load import names, outbound
from llm_serving_load.adopted import ADOPTED, AdoptedSource
from llm_serving_load.errors import Exit, LoadError, StoppedError
from llm_serving_load.loading import Loader, Model
from llm_serving_load.retrier import ATTEMPTS, Retrier
from llm_serving_load.retrying import RetryingSource
from llm_serving_load.sizes import human_size
from llm_serving_load.sources import open_source
from llm_serving_load.targets import open_target, target_name
from llm_serving_load.verifying import Verifier

PREFIX = "LLM_SERVING_LOAD_"
_MAX_WORKERS, _MAX_ATTEMPTS, _MAX_WAIT_SECONDS = 64, 100, 24 * 3600
_MAX_RANK = 512
GRANT_SECONDS = 600
"""How long a refusal by the target counts as temporary, unless somebody says otherwise."""
_CODES = (
    "Ends with 0: done; 75: not now, a retry may help (network, server, a copy that is not complete); 78: a retry "
    "cannot help (wrong name, refused, damaged source); 2: wrong usage; 128 + number: ended by a signal."
)

_T = TypeVar("_T")
_D = TypeVar("_D")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; one of :class:`~llm_serving_load.errors.Exit`, or 128 and the number of a signal."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outbound.prepare(os.environ)
        if words[:1] == ["verify"]:
            return _verify(words[1:], os.environ)
        if words[:1] == ["adopt"]:
            return _load(words[1:], os.environ, adopts=True)
        return _load(words, os.environ)
    except _UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.USAGE
    except LoadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code


_LOADS = (
    "Loads a model into a cache: checked, resumable, complete or not there. `llm-serving-load verify --help`: see "
    "whether one is complete. `llm-serving-load adopt --help`: make the manifest of a copy that is there."
)
_ADOPTS = (
    "Makes the manifest of a model that was copied into its place by other means, so that engines take it. Reads and "
    "hashes every file there; with a source, each must be the source's. Changes no file."
)


def _load(words: Sequence[str], environment: Mapping[str, str], *, adopts: bool = False) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-serving-load adopt" if adopts else "llm-serving-load",
        description=_ADOPTS if adopts else _LOADS,
        epilog=f"Each option that takes a value is also a variable: --source is {PREFIX}SOURCE. A flag wins. --deep is "
        f"a flag only. HF_TOKEN: token of the hub. {_CODES}",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--source",
        metavar="URL",
        help="hf://, or file:///FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX (<org>/<name>/<revision> below)"
        + ("; default: none, the copy is taken as it is" if adopts else ""),
    )
    parser.add_argument("--repository", metavar="ORG/NAME", help="the model")
    parser.add_argument("--revision", metavar="COMMIT", help="its commit, 40 hexadecimal digits")
    parser.add_argument(
        "--target", metavar="PLACE", help="where its files go: /FOLDER, s3://BUCKET/PATH or gs://BUCKET/PATH"
    )
    parser.add_argument(
        "--adapter-rank", metavar="N", help="load a LoRA adapter of at most this rank, and not a model; PEFT's format"
    )
    parser.add_argument("--workers", metavar="N", help="files that are copied at once (default 8)")
    parser.add_argument("--attempts", metavar="N", help="how often a source that stops is asked (default 6)")
    parser.add_argument(
        "--grant-timeout",
        metavar="SECONDS",
        help="how long a refusal by the bucket of the target counts as temporary, because rights that were granted a "
        f"moment ago spread late (default {GRANT_SECONDS})",
    )
    parser.add_argument("--deep", action="store_true", help="also read a copy that is there, and repair it")
    flags = vars(parser.parse_args(words))
    deep = bool(flags.pop("deep"))
    values = _OptionValues(flags, environment)
    source = values.optional("source", _text, None) if adopts else values.required("source", _text)
    model = Model(
        source=source or ADOPTED,
        repository=values.required("repository", names.repository),
        revision=values.required("revision", names.revision),
    )
    place = values.required("target", target_name)
    workers = values.optional("workers", _from_to(1, _MAX_WORKERS), 8)
    attempts = values.optional("attempts", _from_to(1, _MAX_ATTEMPTS), ATTEMPTS)
    grant_timeout = values.optional("grant_timeout", _from_to(0, _MAX_WAIT_SECONDS), GRANT_SECONDS)
    adapter_rank = values.optional("adapter_rank", _from_to(1, _MAX_RANK), None)
    stop, failed = threading.Event(), threading.Event()
    signals_received: list[int] = []

    def ended() -> bool:
        return stop.is_set() or failed.is_set()

    def on_signal(number: int, frame: object) -> None:
        if signals_received:
            os._exit(128 + number)  # a copy that hangs is not waited for twice
        signals_received.append(number)
        stop.set()
        raise StoppedError

    try:
        # The first process of a container ignores signals that it does not handle.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        _say(f"{model.repository} at {model.revision} from {model.source} into {place}")
        target = open_target(place, Retrier(ATTEMPTS, ended, _say, grant_timeout))
        retrier = Retrier(attempts, ended, _say)
        loader = Loader(model, target, _say, stop, workers, deep=deep, adapter_rank=adapter_rank, failed=failed)

        def opened() -> RetryingSource:
            return RetryingSource(open_source(model.source, model.repository, model.revision), retrier)

        if adopts:
            manifest = loader.adopt(RetryingSource(AdoptedSource(target), retrier), opened if source else None)
        else:
            manifest = loader.load(opened)
        _say(f"complete: {len(manifest.files)} files, {human_size(manifest.size)}")
    except StoppedError:
        print("error: stopped before the end; run it again, it goes on with what is missing", file=sys.stderr)
        return 128 + signals_received[0]
    return Exit.DONE


def _verify(words: Sequence[str], environment: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(
        prog="llm-serving-load verify",
        description="Says whether a model is complete and may be served; looks at names and sizes, reads no weights.",
        epilog=_CODES,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--target", metavar="PLACE", help="where its files are: /FOLDER, s3://BUCKET/PATH, gs://BUCKET/PATH"
    )
    parser.add_argument("--repository", metavar="ORG/NAME", help="refuse any other model")
    parser.add_argument("--revision", metavar="COMMIT", help="refuse any other commit")
    parser.add_argument("--wait", metavar="SECONDS", help="how long to wait for a loader that still runs (default 0)")
    parser.add_argument("--deep", action="store_true", help="read every file and compare its SHA-256, not only sizes")
    flags = vars(parser.parse_args(words))
    deep = bool(flags.pop("deep"))
    values = _OptionValues(flags, environment)
    place = values.required("target", target_name)
    repository = values.optional("repository", names.repository, None)
    revision = values.optional("revision", names.revision, None)
    wait = values.optional("wait", _from_to(0, _MAX_WAIT_SECONDS), 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first process of a container ignores signals that it does not handle, and there is nothing to tidy up.
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    manifest = Verifier(open_target(place), _say, wait).verify(repository, revision, deep=deep)
    size = human_size(manifest.size)
    _say(f"complete: {manifest.repository} at {manifest.revision}, {len(manifest.files)} files, {size}")
    return Exit.DONE


class _UsageError(Exception):
    """A value that cannot be used."""


class _OptionValues:
    """Texts of options: from the command line, else from the environment."""

    def __init__(self, flags: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self._flags = flags
        self._environment = environment

    def optional(self, name: str, read: Callable[[str], _T], default: _D) -> _T | _D:
        variable = PREFIX + name.upper()
        where, text = _flag(name), self._flags[name]
        if text is None:
            where, text = variable, self._environment.get(variable)
        if text is None:
            return default
        try:
            return read(text)
        except ValueError as error:
            raise _UsageError(f"{where} {text!r}: {error}") from None

    def required(self, name: str, read: Callable[[str], _T]) -> _T:
        value = self.optional(name, read, None)
        if value is None:
            raise _UsageError(f"{_flag(name)} is missing; give it, or {PREFIX}{name.upper()}")
        return value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _text(value: str) -> str:
    if not value:
        raise ValueError("it must not be empty")
    return value


def _from_to(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise ValueError(f"it must be a number from {least} to {most}")
        return int(value)

    return read


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(f"llm-serving-load: {text}", flush=True)
