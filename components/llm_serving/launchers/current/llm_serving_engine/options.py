"""What the launcher can be told: flags, else environment variables, else defaults.

The variable of a flag is its name in capitals after ``LLM_SERVING_ENGINE_``: ``--health-port`` and
``LLM_SERVING_ENGINE_HEALTH_PORT``. Where neither is given, the engine's address, the model's name and the time that
running requests get at shutdown are read from the engine's own command line.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

PREFIX = "LLM_SERVING_ENGINE_"
_DEFAULT_ENGINE_PORT = 8000
_EVERYWHERE = ("0.0.0.0", "::")


class OptionError(Exception):
    """A flag or variable that cannot be used; the text names it, its value and the reason."""


@dataclass(frozen=True)
class Options:
    """What the launcher runs and how it watches it.

    Attributes:
        command: the engine's command line.
        health_host, health_port: where the health endpoint listens.
        engine_host, engine_port: where the engine answers HTTP.
        health_path: where it answers 200 while it is healthy.
        model: name that the engine must list before it is ready; ``None``: any.
        stall_seconds: an engine that was ready and answers nothing for so long, or does nothing for the requests that
            it has, is stalled.
        probe_seconds: pause between two probes of the engine.
        probe_timeout: seconds after which a probe has failed.
        warm_up_seconds: a request is answered before the engine counts as ready, within so long; ``None``: no request.
        drain_seconds: how long running requests have once the launcher is told to stop; 0: that is the engine's matter.
        compile_cache: folder of a saved compile cache to start from, or ``None``.
        save_compile_cache: folder to save the compile cache to once the engine was ready, or ``None``.
        exit_when_ready: end the engine as soon as it is ready.
        api_key: what the engine asks for before it lists its models, or ``None``.
    """

    command: tuple[str, ...]
    health_host: str
    health_port: int
    engine_host: str
    engine_port: int
    health_path: str
    model: str | None
    stall_seconds: float
    probe_seconds: float
    probe_timeout: float
    warm_up_seconds: float | None
    drain_seconds: float
    compile_cache: Path | None
    save_compile_cache: Path | None
    exit_when_ready: bool
    api_key: str | None = field(repr=False)


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise ValueError("it must be a port from 1 to 65535")
    return int(value)


def _seconds(value: str) -> float:
    number = _finite(value)
    if number is None or number <= 0:
        raise ValueError("it must be a number of seconds above 0")
    return number


def _seconds_from_zero(value: str) -> float:
    number = _finite(value)
    if number is None or number < 0:
        raise ValueError("it must be a number of seconds, 0 or more")
    return number


def _finite(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _switch(value: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ValueError("it must be true or false")
    return known[value.lower()]


def _folder(value: str) -> Path:
    if not value.startswith("/"):
        raise ValueError("it must be a folder's whole path, from / on")
    return Path(value)


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("it must begin with /")
    return value


def _text(value: str) -> str:
    if not value:
        raise ValueError("it must not be empty")
    return value


def _host(value: str) -> str:
    try:
        encoded = value.encode("idna")  # what the look-up of an address does with it
    except UnicodeError:
        encoded = b""
    if not encoded:
        raise ValueError("it must be an address or a name; its parts between dots have 1 to 63 characters")
    return value


def _key(value: str) -> str:
    key = value.strip()
    if not key:
        raise ValueError("it is blank; give a key, or none at all")
    if not key.isascii() or not key.isprintable():
        raise ValueError("it holds characters that no HTTP header can carry; use printable ASCII alone")
    return key


def _url(value: str) -> tuple[str, int]:
    problem = "it must look like http://127.0.0.1:8000, without a path"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(problem)
    return _host(parts.hostname), port if port is not None else 80


_SWITCHES = ("warm-up", "exit-when-ready")
_METAVARS = {"compile-cache": "FOLDER", "save-compile-cache": "FOLDER"}

OPTIONS = {
    "health-host": "address that the health endpoint listens at (default 0.0.0.0)",
    "health-port": "its port (default 8080)",
    "engine-url": "where the engine answers (default: host and port in COMMAND, else 127.0.0.1:8000)",
    "health-path": "path at which the engine answers 200 while it is healthy (default /health)",
    "model": "name that the engine must list to be ready (default: the one in COMMAND, else any)",
    "stall-seconds": "an engine that was ready is dead when it is silent, or does nothing for its requests, for so "
    "long (default 60)",
    "probe-seconds": "pause between two looks at the engine (default 1)",
    "probe-timeout": "a look fails after so many seconds (default 5)",
    "warm-up": "have one short request answered before the engine counts as ready; if it fails, so does the start",
    "warm-up-seconds": "the request of --warm-up fails after so many seconds (default 300)",
    "drain-seconds": (
        "how long running requests have after SIGTERM; new ones are refused with 503, and those that do not end in "
        "time end with an explicit error. Needs an engine with vLLM's --middleware; 0 passes the signal on at once "
        "(default: --shutdown-timeout in COMMAND, else 0)"
    ),
    "compile-cache": "folder of a saved compile cache, which may be read-only, to unpack before the engine starts",
    "exit-when-ready": "end with status 0 once the engine is ready: for a Job that warms a cache up",
    "save-compile-cache": "folder to save the engine's compile cache to; goes with --exit-when-ready",
}
"""Every option, without its dashes, and what it does."""

_T = TypeVar("_T")


class _OptionValues:
    """Texts of options, by the name of their flag: from the command line, else from the environment."""

    def __init__(self, flags: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self._flags = flags
        self._environment = environment

    def read(self, name: str, reader: Callable[[str], _T]) -> _T | None:
        """The value, ``None`` where neither flag nor variable gives one."""
        variable = PREFIX + name.replace("-", "_").upper()
        where, text = f"--{name}", self._flags[name.replace("-", "_")]
        if text is None:
            where, text = variable, self._environment.get(variable)
        if text is None:
            return None
        try:
            return reader(text)
        except ValueError as error:
            raise OptionError(f"{where} {text!r}: {error}") from None


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Options from flags and variables; a flag wins.

    Raises:
        OptionError: a value that cannot be used, or no command.
        SystemExit: ``--help``, or a flag that does not exist.
    """
    own, command = _split(arguments)
    parser = argparse.ArgumentParser(
        prog="llm-serving-engine",
        usage="%(prog)s [OPTION...] -- COMMAND [ARGUMENT...]",
        description="Runs an inference engine as the first process of a container and answers health checks for it.",
        epilog=f"Each option is also a variable: --health-port is {PREFIX}HEALTH_PORT. A flag wins.",
        allow_abbrev=False,
    )
    for name, text in OPTIONS.items():
        if name in _SWITCHES:
            parser.add_argument(f"--{name}", metavar="true|false", nargs="?", const="true", help=text)
        else:
            parser.add_argument(f"--{name}", metavar=_METAVARS.get(name, name.rpartition("-")[2].upper()), help=text)
    values = _OptionValues(vars(parser.parse_args(own)), environment)
    if not command:
        raise OptionError("no command to run: give the engine's command line after --, as in -- vllm serve FOLDER")
    host, port = values.read("engine-url", _url) or (_host_of(command), _port_of(command))
    drain = values.read("drain-seconds", _seconds_from_zero)
    exits = values.read("exit-when-ready", _switch) or False
    save = values.read("save-compile-cache", _folder)
    if save is not None and not exits:
        raise OptionError(
            "--save-compile-cache goes with --exit-when-ready: an instance that serves must not write what others run"
        )
    return Options(
        command=tuple(command),
        health_host=values.read("health-host", _host) or "0.0.0.0",
        health_port=values.read("health-port", _port) or 8080,
        engine_host=host,
        engine_port=port,
        health_path=values.read("health-path", _path) or "/health",
        model=values.read("model", _text) or option_of(command, "--served-model-name"),
        stall_seconds=values.read("stall-seconds", _seconds) or 60.0,
        probe_seconds=values.read("probe-seconds", _seconds) or 1.0,
        probe_timeout=values.read("probe-timeout", _seconds) or 5.0,
        warm_up_seconds=(values.read("warm-up-seconds", _seconds) or 300.0)
        if values.read("warm-up", _switch)
        else None,
        drain_seconds=_shutdown_timeout_of(command) if drain is None else drain,
        compile_cache=values.read("compile-cache", _folder),
        save_compile_cache=save,
        exit_when_ready=exits,
        api_key=_api_key(command, environment),
    )


def option_of(command: Sequence[str], flag: str) -> str | None:
    """The first value of an option on a command line, spelt ``--flag=value`` or ``--flag value``."""
    for index, word in enumerate(command):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2] or None
        if word == flag and index + 1 < len(command):
            return command[index + 1]
    return None


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _host_of(command: Sequence[str]) -> str:
    text = option_of(command, "--host")
    if text is None or text in _EVERYWHERE:
        return "127.0.0.1"
    return _of_command("--host", text, _host)


def _port_of(command: Sequence[str]) -> int:
    text = option_of(command, "--port")
    if text is None:
        return _DEFAULT_ENGINE_PORT
    return _of_command("--port", text, _port)


def _shutdown_timeout_of(command: Sequence[str]) -> float:
    text = option_of(command, "--shutdown-timeout")
    return 0.0 if text is None else _of_command("--shutdown-timeout", text, _seconds_from_zero)


def _of_command(flag: str, text: str, reader: Callable[[str], _T]) -> _T:
    try:
        return reader(text)
    except ValueError as error:
        raise OptionError(f"{flag} {text!r} of the engine's command line: {error}") from None


def _api_key(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The key without the blanks around it, a file's line break for one; messages never show it."""
    where, text = "--api-key of the engine's command line", option_of(command, "--api-key")
    if not text:
        where, text = "VLLM_API_KEY", environment.get("VLLM_API_KEY")
    if not text:
        return None
    try:
        return _key(text)
    except ValueError as error:
        raise OptionError(f"{where}: {error}") from None
