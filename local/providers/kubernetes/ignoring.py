"""Properties that a program leaves to others (the option ``ignoreChanges``), as server-side apply has to see them.

The engine puts the old input back in their place. Sent like that it would be a claim: whoever applies a field owns it,
and a field that its owner no longer sends goes back to its default. So the provider looks at who owns the field now
(provider/pkg/await/await.go, handleSSAIgnoreFields): another's is left out, its own is sent as it is on the cluster.

Pure functions. Like the provider's, they know paths of member names (``spec.replicas``); a path with an index or a
quoted name changes nothing here.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from local.providers.differences import Difference, lies_in

_Path = tuple[str, ...]


def without(difference: Difference, ignored: Sequence[str]) -> Difference:
    """The difference without the changes at ``ignored`` paths and inside of them."""
    kept = {path: change for path, change in difference.changes.items() if not any(lies_in(path, i) for i in ignored)}
    return Difference(kept, difference.replacing & kept.keys(), difference.delete_before_replace)


def with_ignored_from_live(
    body: Mapping[str, Any], live: Mapping[str, Any], manager: str, ignored: Sequence[str]
) -> dict[str, Any]:
    """The object as it is applied.

    Args:
        body: the object as the inputs have it.
        live: the object as it is.
        manager: under which it is applied.
        ignored: property paths that the program leaves to others.
    """
    applied = copy.deepcopy(dict(body))
    for path in (tuple(text.split(".")) for text in ignored):
        ours, theirs = _owned(live, path, manager)
        if theirs and not ours:
            _remove(applied, path)
            continue
        # Without a value on the cluster the program's stands. A value that nobody owns, such as a default of the API
        # server's, becomes ours, as it does with the provider.
        holder = _holder(live, path)
        if holder is not None and path[-1] in holder:
            _put(applied, path, copy.deepcopy(holder[path[-1]]))
    return applied


def _owned(live: Mapping[str, Any], path: _Path, manager: str) -> tuple[bool, bool]:
    """Whether the manager owns the field or something in it, and whether another does, through a subresource too."""
    ours = theirs = False
    for entry in live["metadata"].get("managedFields") or []:
        fields: Any = entry.get("fieldsV1") or {}
        for name in path:
            fields = fields.get(f"f:{name}") if isinstance(fields, Mapping) else None
        if fields is not None:
            ours |= entry.get("manager") == manager
            theirs |= entry.get("manager") != manager
    return ours, theirs


def _holder(thing: Any, path: _Path) -> Mapping[str, Any] | None:
    """The object that the last member of the path belongs to, or ``None``."""
    for name in path[:-1]:
        thing = thing.get(name) if isinstance(thing, Mapping) else None
    return thing if isinstance(thing, Mapping) else None


def _remove(thing: dict[str, Any], path: _Path) -> None:
    holder = _holder(thing, path)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def _put(thing: dict[str, Any], path: _Path, value: Any) -> None:
    for name in path[:-1]:
        thing = thing.setdefault(name, {})
    thing[path[-1]] = value
