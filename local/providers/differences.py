"""What changed between two sets of inputs, by property path, and whether the change replaces the resource.

Owns the comparison only; which properties cannot change in place is a question for the plugin of each cloud.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from local.providers.properties import UNKNOWN, child, contains_unknown, reveal


class Change(Enum):
    """How one property changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


_NOTHING: tuple[Any, ...] = (None, [], {})
"""Values that the protocol does not tell from a property that is not there."""


@dataclass(frozen=True)
class Difference:
    """The outcome of a comparison.

    Attributes:
        changes: property path -> how it changed; empty where nothing did.
        replacing: the paths among them that cannot change in place.
        delete_before_replace: the old resource has to go before the new one can be made (their names
            collide).
    """

    changes: Mapping[str, Change] = field(default_factory=dict)
    replacing: frozenset[str] = frozenset()
    delete_before_replace: bool = False

    @property
    def replaces(self) -> bool:
        """Whether the resource has to be replaced."""
        return bool(self.replacing)


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    replaces: Callable[[str], bool] = lambda pattern: False,
    unordered: Callable[[str], bool] = lambda pattern: False,
) -> Difference:
    """Compare two sets of inputs.

    Args:
        old: the inputs as they were.
        new: the inputs as they are to be. An unknown value counts as changed: nobody can say that it is not.
        replaces: whether a change at this pattern replaces the resource. A pattern is a property path with
            ``[*]`` in the place of indexes (``nodeConfig.taints[*].key``); it is asked for the path and for
            all that contain it.
        unordered: whether the list at this pattern is a set, so that order alone is no change.
    """
    changes: dict[str, tuple[Change, Any, Any]] = {}
    _compare(reveal(old), reveal(new), "", unordered, changes)

    def cannot_stay(path: str, before: Any, after: Any) -> bool:
        touched = {*leaves(path, before), *leaves(path, after)}
        return any(replaces(prefix) for leaf in touched for prefix in containing(as_pattern(leaf)))

    replacing = frozenset(path for path, (_, before, after) in changes.items() if cannot_stay(path, before, after))
    return Difference({path: change for path, (change, _, _) in changes.items()}, replacing)


def as_pattern(path: str) -> str:
    """The path with ``[*]`` in the place of each index."""
    return re.sub(r"\[\d+\]", "[*]", path)


def lies_in(path: str, outer: str) -> bool:
    """Whether a path is ``outer`` or names something in it."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def containing(pattern: str) -> list[str]:
    """The pattern itself and every pattern that contains it, outermost first."""
    ends = [match.start() for match in re.finditer(r"(?<!^)(?:\.|\[)", pattern)]
    return [pattern[:end] for end in ends] + [pattern]


def leaves(path: str, value: Any) -> list[str]:
    """The paths of all values in ``value``, which lies at ``path``; ``path`` where it has no members."""
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in leaves(child(path, key), item)]
    if isinstance(value, list) and value:
        return [leaf for index, item in enumerate(value) for leaf in leaves(child(path, index), item)]
    return [path]


def _compare(
    old: Any,
    new: Any,
    path: str,
    unordered: Callable[[str], bool],
    changes: dict[str, tuple[Change, Any, Any]],
) -> None:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            _compare(old.get(key), new.get(key), child(path, key), unordered, changes)
    elif isinstance(old, list) and isinstance(new, list):
        if unordered(as_pattern(path)) and not contains_unknown(new) and _same_members(old, new):
            return
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            _compare(before, after, child(path, index), unordered, changes)
    elif new is not UNKNOWN and _equal(old, new):
        return
    elif old in _NOTHING:
        if new not in _NOTHING:
            changes[path] = (Change.ADD, old, new)
    elif new is None:
        changes[path] = (Change.DELETE, old, new)
    else:
        changes[path] = (Change.UPDATE, old, new)


def _equal(old: Any, new: Any) -> bool:
    """Equal, and not only because Python takes True for 1."""
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def _same_members(old: list[Any], new: list[Any]) -> bool:
    rest = list(new)
    for item in old:
        if item not in rest:
            return False
        rest.remove(item)
    return not rest
