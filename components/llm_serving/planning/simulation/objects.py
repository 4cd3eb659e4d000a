"""Reading Kubernetes objects, whose members may be missing or null at every level."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

Object = Mapping[str, Any]


def member(thing: Object, *path: str) -> Object:
    """The mapping at a path; empty where a step of it is missing or null."""
    for name in path:
        thing = cast(Object | None, thing.get(name)) or {}
    return thing


def items(thing: Object, *path: str) -> Sequence[Object]:
    """The list of mappings at a path; empty where a step of it is missing or null."""
    return cast(Sequence[Object] | None, member(thing, *path[:-1]).get(path[-1])) or ()
