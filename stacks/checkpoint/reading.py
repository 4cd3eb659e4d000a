"""The small files of a model, read where the model lies: on the hub, in a bucket, in a folder.

The sources are those of the loader, which later brings the same files into the model cache. Of weights the headers are
read, by ranges.
"""

import json
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from llm_serving_load.checks import select_files
from llm_serving_load.errors import InterruptedTransferError, LoadError
from llm_serving_load.sources import Source, SourceFile, open_source
from llm_serving_load.sources.folder import FolderSource
from pydantic import ValidationError

from llm_serving.arguments import property_path
from llm_serving.errors import Problem, ProblemsError
from stacks.checkpoint.checkpoint import Checkpoint
from stacks.checkpoint.configuration import model_facts
from stacks.checkpoint.layers import layer_count, text_config
from stacks.checkpoint.safetensors_headers import WeightSizes, read_header, weight_sizes

_AT_ONCE = 16
"""Files whose headers are read at the same time."""

_CONFIG, _GENERATION, _TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
_QUANTIZATION = "hf_quant_config.json"
_PICTURE, _VIDEO = "preprocessor_config.json", "video_preprocessor_config.json"
_SENTENCES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where models for Sentence Transformers say how many tokens they were made for; vLLM takes the first that is there
(``get_sentence_transformer_tokenizer_config`` of vLLM 0.32.0)."""

_TEMPLATE, _CARD, _VECTORS = "chat_template.jinja", "README.md", "modules.json"


def read_checkpoint(place: str, repository: str, revision: str) -> Checkpoint:
    """The model at a place.

    Args:
        place: ``hf://`` for the hub, ``gs://`` or ``s3://`` with bucket and prefix, ``file:///`` with a folder of
            models; or the path of the one folder that the model's files lie in.
        repository, revision: which model, and which commit of it.

    Raises:
        ProblemsError: the place or the model is not there, or a file of it cannot be understood.
    """
    try:
        source = open_source(place, repository, revision) if "://" in place else _folder(place)
        return _read(source)
    except (LoadError, InterruptedTransferError) as error:
        raise ProblemsError([Problem("--model", repository, str(error))]) from None


def read_config(path: Path) -> Checkpoint:
    """A model of which nothing but a ``config.json`` is there.

    Raises:
        ProblemsError: the file cannot be read, or lacks a fact.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProblemsError([Problem("--config", str(path), f"cannot be read: {error.strerror}")]) from None
    config = _json(content, str(path))
    with _understanding(str(path)):
        return Checkpoint(str(path), model_facts(config))


def _folder(place: str) -> Source:
    if not Path(place).is_dir():
        raise ProblemsError([Problem("--source", place, "is no folder", "hf://, gs://, s3://, or a model's folder")])
    return FolderSource(Path(place))


def _read(source: Source) -> Checkpoint:
    files = {file.name: file for file in source.files()}

    def read(name: str) -> bytes | None:
        return _bytes(source, files[name]) if name in files else None

    where = f"{source.where}/{_CONFIG}"
    config = read(_CONFIG)
    if config is None:
        reason = "the model has no config.json: vLLM would not know what it is"
        raise ProblemsError([Problem(_CONFIG, None, reason)], source.where)
    parsed = _json(config, where)
    # ModelOpt writes beside the config how it stored the weights; vLLM reads it there, too.
    if "quantization_config" not in parsed and (apart := read(_QUANTIZATION)) is not None:
        said = _json(apart, f"{source.where}/{_QUANTIZATION}")
        quantization = said.get("quantization")
        stored = cast(dict[str, Any], quantization) if isinstance(quantization, dict) else {}
        parsed["quantization_config"] = {"producer": said.get("producer"), **stored}
    with _understanding(where):
        layers = layer_count(text_config(parsed))
    sizes = _weights(source, files, layers)
    tokenizer = _json(read(_TOKENIZER) or b"{}", f"{source.where}/{_TOKENIZER}")
    sentences = next((name for name in _SENTENCES if files.get(name)), None)
    limits = _json(read(sentences) or b"{}", f"{source.where}/{sentences}") if sentences else {}
    preprocessors = [_json(read(name) or b"{}", f"{source.where}/{name}") for name in (_PICTURE, _VIDEO)]
    template = read(_TEMPLATE)
    with _understanding(where):
        facts = model_facts(parsed, sizes, _VECTORS in files, tokenizer, limits, *preprocessors)
    return Checkpoint(
        where=source.where,
        facts=facts,
        sampling=_json(read(_GENERATION) or b"{}", f"{source.where}/{_GENERATION}"),
        chat_template=_default_template(tokenizer.get("chat_template"))
        if template is None
        else _text(template, f"{source.where}/{_TEMPLATE}"),
        license=_license(read(_CARD)),
        has_weights=sizes is not None,
    )


@contextmanager
def _understanding(where: str) -> Generator[None]:
    """Refuse a publisher's file, whatever is odd about it, by its name."""
    try:
        yield
    except ProblemsError as error:
        raise error.from_source(where) from None
    except ValidationError as error:
        problems = [_as_problem(refused) for refused in error.errors()]
        raise ProblemsError(problems, where) from None
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ProblemsError([Problem("", None, f"cannot be understood: {error}")], where) from None


def _as_problem(refused: Any) -> Problem:
    return Problem(property_path(refused["loc"]), refused["input"], f"cannot be understood: {refused['msg']}")


def _weights(source: Source, files: Mapping[str, SourceFile], layers: int) -> WeightSizes | None:
    """Sizes by the headers of the safetensors files that the loader brings, those at the top; ``None`` where there are
    none."""
    selected = [file.name for file in select_files(list(files.values()))]
    names = sorted(name for name in selected if name.endswith(".safetensors") and "/" not in name)
    sharded = [name for name in names if "-of-" in name]
    names = sharded or [name for name in names if name == "model.safetensors"] or names
    if not names:
        return None

    def header(name: str) -> dict[str, Any]:
        return read_header(_reader(source, files[name]), name)

    with ThreadPoolExecutor(_AT_ONCE, "headers") as threads:
        headers = list(threads.map(header, names))
    return weight_sizes(headers, layers)


def _reader(source: Source, file: SourceFile) -> Callable[[int, int], bytes]:
    return lambda offset, count: _bytes(source, file, offset, count)


def _bytes(source: Source, file: SourceFile, offset: int = 0, count: int | None = None) -> bytes:
    """Part of a file; the connection is closed as soon as it is there."""
    wanted = bytearray(min(file.size - offset, count if count is not None else file.size))
    view, stream = memoryview(wanted), source.open(file, offset)
    try:
        while view and (got := stream.readinto(view)):
            view = view[got:]
    finally:
        stream.close()
    return bytes(wanted[: len(wanted) - len(view)])


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProblemsError([Problem("", None, f"is no text in UTF-8: {error.reason}")], where) from None


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProblemsError([Problem("", None, f"is no JSON: {error}")], where) from None
    if not isinstance(data, dict):
        raise ProblemsError([Problem("", None, "is no JSON object")], where)
    return cast(dict[str, Any], data)


def _default_template(template: Any) -> str | None:
    """The template of a tokenizer: one, or several of which one is called ``default``."""
    if isinstance(template, list):
        several = [cast(dict[str, Any], each) for each in cast(list[Any], template) if isinstance(each, dict)]
        template = next((each.get("template") for each in several if each.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _license(card: bytes | None) -> str | None:
    """The licence in the head of a model's card, which is YAML between two lines of dashes."""
    if card is None or not card.startswith(b"---"):
        return None
    try:
        head = yaml.safe_load(card.decode(errors="replace").split("---", 2)[1])
    except (yaml.YAMLError, IndexError, ValueError):  # ValueError: a date that no calendar has
        return None
    if not isinstance(head, dict):
        return None
    said = cast(dict[str, Any], head)
    license = said.get("license_name") if said.get("license") == "other" else said.get("license")
    if isinstance(license, list):
        license = ", ".join(str(each) for each in cast(list[Any], license))
    return str(license) if license else None
