"""Names that keep within a cloud's limit and still tell apart what they name."""

import hashlib
import json
from typing import Any


def digest(value: Any, length: int = 6) -> str:
    """The first hexadecimal digits of a hash of plain data: the same for the same data, in every run."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def bounded(*parts: str, limit: int) -> str:
    """``parts`` joined by ``-``; where that is longer than ``limit``, its beginning and a hash of the whole."""
    name = "-".join(parts)
    if len(name) <= limit:
        return name
    tail = digest(name)
    return f"{name[: limit - len(tail) - 1].rstrip('-')}-{tail}"
