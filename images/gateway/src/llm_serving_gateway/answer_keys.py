"""Under which key an answer is kept, and what a request says about kept answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 2
"""Of keys and entries: a change of either makes it another, and leaves the old entries to expire."""
FIELD = "cache"
"""The field of a request's body with its directives, which is ours and reaches no engine."""


@dataclass(frozen=True)
class Directives:
    """Whether a kept answer may be given, whether this one may be kept, and whether the answer to a question that means
    the same may be given, and this one to such a question."""

    read: bool = True
    write: bool = True
    similar: bool = True


def directives(body: Mapping[str, Any], cache_control: str) -> Directives:
    """What a request asks for by ``"cache": {"no-cache": true, "no-store": true, "no-semantic": true}`` or the header
    Cache-Control."""
    field = body.get(FIELD)
    asked = {name for name, value in field.items() if value is True} if isinstance(field, Mapping) else set[Any]()
    asked |= {part.strip().lower() for part in cache_control.split(",")}
    return Directives(read="no-cache" not in asked, write="no-store" not in asked, similar="no-semantic" not in asked)


PREFIX = "answer:"
"""Of every key; a hash follows."""


def answer_key(space: str, path: str, release: str | None, body: Mapping[str, Any], made_under: str = "") -> str:
    """The key of an answer: a hash over whose it is, the path, the release that was asked for, and every parameter.

    Args:
        space: who shares the answer: one key, or a team.
        release: the release that the request names, ``None`` where it is chosen by weights.
        body: the request as it was parsed; its directives do not count.
        made_under: what else the answer depends on: the guardrails.
    """
    parameters = {name: value for name, value in body.items() if name != FIELD}
    # JSON of a list: no two different requests give the same text. Sorted, so that the order of fields does not count.
    text = json.dumps([VERSION, made_under, space, path, release, parameters], sort_keys=True, separators=(",", ":"))
    return f"{PREFIX}{hashlib.sha256(text.encode()).hexdigest()}"


def space_of(key_hash: str, team: str | None, scope: str) -> str:
    """Who shares answers with the holder of a key: nobody, or with scope ``team`` the keys of its team."""
    return f"team:{team}" if scope == "team" and team else f"key:{key_hash}"
