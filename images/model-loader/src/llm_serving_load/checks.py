"""Whether a model can be served at all, found out before the first byte is copied.

Reads small files and the headers of the weights only, from any source.
"""

import json
from typing import Any

from llm_serving_load import names
from llm_serving_load.errors import LoadError, TemporaryError
from llm_serving_load.manifest import NAME as MANIFEST
from llm_serving_load.sources import Source, SourceFile

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of a LoRA adapter as PEFT writes it."""
_HARMLESS_VALUES: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    "lora_bias": (),
    "use_dora": (),
    "use_qalora": (),
    "use_bdlora": ({},),
    "modules_to_save": (),
    "layer_replication": (),
    "alora_invocation_tokens": (),
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal", "mica", "lora_ga"),
}
"""Fields that change what an adapter is, and the values besides none with which vLLM takes it (0.32,
vllm/lora/peft_helper.py)."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json")
_INDEX = "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library
_MAX_JSON_BYTES = 256 * 1024 * 1024

_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".tflite", ".gguf", ".ot")
"""The same weights again, for other programs; a checkpoint in pickle can also run code when it is opened."""


def select_files(files: list[SourceFile]) -> list[SourceFile]:
    """The files that an engine reads: weights in other formats and in the publisher's own layout are left out."""
    hugging_face = any(_is_weights(file) and not _is_original(file) for file in files)
    return [
        file
        for file in files
        if file.name != MANIFEST
        and not file.name.endswith(_OTHER_WEIGHTS)
        and not (hugging_face and _is_original(file))
    ]


def check(source: Source, files: list[SourceFile], adapter_rank: int | None = None) -> None:
    """Refuse a model that no engine could serve; ``files`` are the selected ones.

    Args:
        source: where they are.
        files: the selected ones.
        adapter_rank: they are those of a LoRA adapter of this rank, and not of a model.

    Raises:
        LoadError: what is missing or damaged, and where.
    """
    if not files:
        raise LoadError(f"{source.where}: there are no files of a model; put the model there, or name another revision")
    unsafe = [file.name for file in files if not names.is_safe(file.name)]
    if unsafe:
        raise LoadError(f"{source.where}: the name {unsafe[0]!r} cannot be used in every cache; rename the file")
    by_name = {file.name: file for file in files}
    if adapter_rank is None:
        _check_model(source, files, by_name)
    else:
        _check_adapter(source, by_name, adapter_rank)


def _check_adapter(source: Source, by_name: dict[str, SourceFile], rank: int) -> None:
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if name not in by_name:
            raise LoadError(
                f"{source.where}: {name} is missing; a LoRA adapter needs it (weights in another format: convert them "
                "to safetensors)"
            )
    where = f"{source.where}/{ADAPTER_CONFIG}"
    document = _document(source, by_name[ADAPTER_CONFIG])
    kind = document.get("peft_type")
    if kind != "LORA":
        raise LoadError(f"{where}: its peft_type is {kind!r}; engines take LORA alone")
    actual = _rank(where, document)
    if actual > rank:
        raise LoadError(
            f"{where}: its rank is {actual}, and room was planned for {rank}; write rank: {actual} in the release"
        )
    for name in ("lora_alpha", "target_modules"):
        if not document.get(name):
            raise LoadError(f"{where}: {name} is missing; save the adapter again with PEFT")
    for name, harmless in _HARMLESS_VALUES.items():
        if document.get(name) not in (None, False, [], *harmless):
            raise LoadError(f"{where}: {name} is {document[name]!r}, which vLLM refuses; train or convert without it")
    if not any(_tensors(source, by_name[ADAPTER_WEIGHTS]).values()):
        raise LoadError(f"{source.where}/{ADAPTER_WEIGHTS}: it holds no weights; save the adapter again")


def _rank(where: str, document: dict[str, Any]) -> int:
    """The largest rank of any module."""
    patterns = document.get("rank_pattern") or {}
    ranks = {"r": document.get("r"), **(patterns if isinstance(patterns, dict) else {"rank_pattern": patterns})}
    for name, rank in ranks.items():
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise LoadError(f"{where}: the rank {name} is {rank!r}; this is no LoRA adapter, or it is damaged")
    return max(ranks.values())


def _check_model(source: Source, files: list[SourceFile], by_name: dict[str, SourceFile]) -> None:
    if "config.json" not in by_name:
        more = f", but {ADAPTER_CONFIG} is there: is it a LoRA adapter?" if ADAPTER_CONFIG in by_name else ""
        raise LoadError(f"{source.where}: config.json is missing; this is not a model that an engine can load{more}")
    _document(source, by_name["config.json"])
    if not any(name in by_name for name in _TOKENIZERS):
        raise LoadError(f"{source.where}: there is no tokenizer; one of {', '.join(_TOKENIZERS)} is needed")
    empty = [file.name for file in files if file.size == 0 and (_is_weights(file) or file.name in _TOKENIZERS)]
    if empty:
        raise LoadError(f"{source.where}/{empty[0]}: the file is empty; put the whole model there")
    weights = [file for file in files if _is_weights(file)]
    if not weights:
        raise LoadError(
            f"{source.where}: there are no weights in the format safetensors (*.safetensors); convert the model, or "
            "name a revision that has them"
        )
    tensors = {file.name: _tensors(source, file) for file in weights}
    if _INDEX in by_name:
        _check_index(source, by_name[_INDEX], tensors)


def _is_weights(file: SourceFile) -> bool:
    return file.name.endswith(".safetensors")


def _is_original(file: SourceFile) -> bool:
    return file.name.startswith(("original/", "metal/", "consolidated"))


def _check_index(source: Source, index: SourceFile, tensors: dict[str, dict[str, int]]) -> None:
    where = f"{source.where}/{index.name}"
    mapping = _document(source, index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise LoadError(f"{where}: it has no weight_map; it is damaged, put the whole model there")
    missing = sorted({str(name) for name in mapping.values()} - tensors.keys())
    if missing:
        raise LoadError(f"{where}: it names {', '.join(missing)}, which is missing; put the whole model there")
    for tensor, name in mapping.items():
        if tensor not in tensors[name]:
            raise LoadError(f"{where}: {name} does not hold {tensor}; index and weights are of different models")


def _tensors(source: Source, file: SourceFile) -> dict[str, int]:
    """The tensors in a file of weights, with their bytes; header, offsets and length must agree."""
    where = f"{source.where}/{file.name}"
    again = "the file is damaged, put it there again"
    if file.size < 8:
        raise LoadError(f"{where}: {file.size} bytes are too few for a header; {again}")
    length = int.from_bytes(_read(source, file, 0, 8), "little")
    if not 2 <= length <= min(file.size - 8, _MAX_HEADER_BYTES):
        raise LoadError(f"{where}: its header claims a length of {length} bytes in a file of {file.size}; {again}")
    try:
        header = json.loads(_read(source, file, 8, length))
        if not isinstance(header, dict):
            raise ValueError("it is no object")
        entries = {str(name): entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
        end = 0
        for begin, after in sorted((int(first), int(last)) for first, last in entries.values()):
            if begin != end or after < begin:
                raise ValueError(f"data_offsets leave a gap or overlap at byte {begin}")
            end = after
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LoadError(f"{where}: its header cannot be read ({error}); {again}") from None
    if file.size != 8 + length + end:
        raise LoadError(f"{where}: it has {file.size} bytes and its header describes {8 + length + end}; {again}")
    return {name: int(after) - int(begin) for name, (begin, after) in entries.items()}


def _document(source: Source, file: SourceFile) -> dict[str, Any]:
    where = f"{source.where}/{file.name}"
    if file.size > _MAX_JSON_BYTES:
        raise LoadError(f"{where}: {file.size} bytes are too many for this file")
    try:
        document = json.loads(_read(source, file, 0, file.size))
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{where}: it is no JSON ({error}); put the whole file there") from None
    if not isinstance(document, dict):
        raise LoadError(f"{where}: it holds no JSON object; put the whole file there")
    return document


def _read(source: Source, file: SourceFile, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    view, filled = memoryview(buffer), 0
    stream = source.open(file, offset)
    try:
        while filled < length:
            count = stream.readinto(view[filled:])
            if not count:
                raise TemporaryError(
                    f"{source.where}/{file.name}: it ends after {offset + filled} of {file.size} bytes; load again"
                )
            filled += count
    finally:
        stream.close()
    return bytes(buffer)
