"""Sizes of a model's weights, from the headers of its safetensors files: no weight is read.

A file begins with the length of its header, 8 bytes, and the header, which is JSON: type, shape and place of each
tensor (the format's own description, github.com/huggingface/safetensors).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, cast

from llm_serving.errors import Problem, ProblemsError

_LENGTH = 8
_LONGEST = 100 * 1024 * 1024
"""Bytes of a header; the format's own library refuses longer ones."""

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class WeightSizes:
    """What the weights of a model take.

    Attributes:
        bytes_by_dtype: bytes by type of number, as safetensors names it (`BF16`, `F8_E4M3`).
        parameters: numbers in them; of weights that are packed, fewer than the model has.
    """

    bytes_by_dtype: Mapping[str, int]
    parameters: int


def read_header(read: Any, name: str) -> dict[str, Any]:
    """The header of one file.

    Args:
        read: ``read(offset, count)`` gives bytes of the file.
        name: what messages call it.

    Raises:
        ProblemsError: it is no safetensors file.
    """
    length = int.from_bytes(read(0, _LENGTH), "little")
    if not 2 <= length <= _LONGEST:
        raise ProblemsError([Problem(name, None, "is no safetensors file: its first 8 bytes are no header's length")])
    try:
        header = json.loads(read(_LENGTH, length))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ProblemsError([Problem(name, None, "is no safetensors file: its header is no JSON object")])
    tensors = {key: value for key, value in cast(dict[str, Any], header).items() if key != "__metadata__"}
    damaged = next((tensor for tensor, said in tensors.items() if not _is_whole(said)), None)
    if damaged is not None:
        raise ProblemsError([Problem(name, None, f"is damaged: its header does not say what {damaged} is")])
    return tensors


def _is_whole(tensor: Any) -> bool:
    """Whether a header says type, shape and place of a tensor."""
    match tensor:
        case {"dtype": str(), "shape": [*shape], "data_offsets": [int(), int()]}:
            return all(isinstance(size, int) for size in shape)
        case _:
            return False


def weight_sizes(headers: Iterable[Mapping[str, Any]], layers: int) -> WeightSizes:
    """What the tensors in the headers take. Layers above the model's own are left out: they guess tokens ahead, and
    the engine reads them only where it is told to speculate."""
    sizes: Counter[str] = Counter()
    parameters = 0
    for header in headers:
        for name, tensor in header.items():
            found = _LAYER.search(name)
            if name.startswith("mtp.") or (found and ".vision" not in name and int(found[1]) >= layers):
                continue
            begin, end = tensor["data_offsets"]
            sizes[tensor["dtype"]] += end - begin
            parameters += prod(tensor["shape"])
    return WeightSizes(dict(sorted(sizes.items())), parameters)
