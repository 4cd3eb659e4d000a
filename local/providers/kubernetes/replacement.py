"""Which changes replace an object, beyond those that its kind alone decides (``kinds.py``). Pure functions."""

from collections.abc import Iterable, Mapping
from typing import Any

from local.providers.differences import Change, Difference, lies_in
from local.providers.kubernetes import objects
from local.providers.kubernetes.readiness import judge
from local.providers.properties import Properties, contains_unknown, reveal


def with_refused_fields(difference: Difference, fields: Iterable[str]) -> Difference:
    """The difference with the changes replacing that the API server refuses as changes in place.

    Args:
        difference: what changed.
        fields: the fields of which it says that they cannot change. Some are names of its own
            (``spec.persistentvolumesource``): then every change but those of labels and annotations counts.
    """
    wanted = list(fields)
    if not wanted:
        return difference
    paths = frozenset(path for path in difference.changes if any(_touch(path, field) for field in wanted))
    if not paths:
        paths = frozenset(path for path in difference.changes if not path.startswith("metadata."))
    return Difference(difference.changes, paths or frozenset(difference.changes))


def with_unready_job(difference: Difference, live: Mapping[str, Any] | None) -> Difference:
    """The difference with a Job replaced that is not complete, for it asks so (``pulumi.com/replaceUnready``).

    Args:
        difference: what changed.
        live: the Job; ``None`` where it cannot be read.
    """
    if live is None or judge(live).done:
        return difference
    path = f'metadata.annotations["{objects.REPLACE_UNREADY}"]'
    return Difference({**difference.changes, path: Change.UPDATE}, difference.replacing | {path})


def with_order(difference: Difference, before: Properties, inputs: Properties) -> Difference:
    """The difference with the order of a replacement: two objects of one name cannot be side by side, and a generated
    name is drawn anew.
    """
    if not difference.replaces:
        return difference
    generated = objects.flagged(inputs, objects.AUTONAMED)
    same = not generated and not contains_unknown(_identity(inputs)) and _identity(inputs) == _identity(before)
    return Difference(difference.changes, difference.replacing, delete_before_replace=same)


def _identity(inputs: Properties) -> tuple[Any, Any]:
    meta = reveal(objects.metadata(inputs))
    return meta.get("namespace"), meta.get("name")


def _touch(path: str, field: str) -> bool:
    return lies_in(path, field) or lies_in(field, path)
