"""What the Pulumi engine tells of a run: its event log (``--event-log``), a JSON object a line.

Shapes: ``sdk/go/common/apitype/events.go`` of pulumi/pulumi, read at 3.255 in November 2026. Events of other kinds are
passed over.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

UNCHANGED = frozenset({"same", "read", "refresh", "discard"})
"""Operations of the engine that change nothing."""


class StepState(StrEnum):
    """How far a step is."""

    BEGUN = "resourcePreEvent"
    DONE = "resOutputsEvent"
    FAILED = "resOpFailedEvent"


@dataclass(frozen=True)
class StepEvent:
    """A step of the engine on one resource. An update tells the outputs of a component once all of them are known.

    Attributes:
        state: how far it is.
        op: the engine's operation: ``create``, ``same``, ``delete-replaced``.
        urn: which resource.
        parent: URN of its parent; ``None`` for the stack.
        custom: a provider makes it; else it is a component.
        changed: property paths that differ, as providers name them.
    """

    state: StepState
    op: str
    urn: str
    parent: str | None
    custom: bool
    changed: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Type of the resource: ``gcp:container/cluster:Cluster``."""
        return self.urn.split("::")[2].rpartition("$")[2]

    @property
    def kind(self) -> str:
        """Last part of the type: ``Cluster``."""
        return self.type.rpartition(":")[2]

    @property
    def name(self) -> str:
        """Logical name of the resource."""
        return self.urn.split("::", 3)[3]

    @property
    def parent_component(self) -> tuple[str, str]:
        """Kind and name of the parent: ``("ModelService", "qwen3-8b")``; empty where there is none."""
        if self.parent is None:
            return "", ""
        return self.parent.split("::")[2].rpartition(":")[2], self.parent.split("::", 3)[3]


@dataclass(frozen=True)
class Diagnostic:
    """What engine, provider or program say.

    Attributes:
        severity: ``debug``, ``info``, ``info#err``, ``warning`` or ``error``.
        message: with its prefix.
        urn: which resource it is about; empty for the run.
        ephemeral: it says how far something is, and is worth nothing later.
    """

    severity: str
    message: str
    urn: str
    ephemeral: bool


@dataclass(frozen=True)
class Summary:
    """The end of a preview or of an update.

    Attributes:
        is_preview: of a preview.
        changes: number of resources, by operation.
    """

    is_preview: bool
    changes: dict[str, int]


Event = StepEvent | Diagnostic | Summary


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log."""
    for line in lines:
        data: dict[str, Any] = json.loads(line)
        for state in StepState:
            if state in data:
                yield _step(state, data[state]["metadata"])
        if "diagnosticEvent" in data:
            said = data["diagnosticEvent"]
            message = f"{said.get('prefix', '')}{said['message']}".strip()
            yield Diagnostic(said["severity"], message, said.get("urn", ""), said.get("ephemeral", False))
        if "summaryEvent" in data:
            summary = data["summaryEvent"]
            yield Summary(summary.get("isPreview", False), summary.get("resourceChanges") or {})


def describe_changes(changes: dict[str, int]) -> str:
    """``39 to create, 2 to update``; of what stays as it is nothing."""
    parts = [f"{count} to {op}" for op, count in changes.items() if op not in UNCHANGED]
    return ", ".join(parts) or "nothing to change"


def _step(state: StepState, metadata: dict[str, Any]) -> StepEvent:
    resource: dict[str, Any] = metadata.get("new") or metadata.get("old") or {}
    changed: Iterable[str] = metadata.get("detailedDiff") or metadata.get("diffs") or ()
    return StepEvent(
        state=state,
        op=metadata["op"],
        urn=metadata["urn"],
        parent=resource.get("parent") or None,
        custom=resource.get("custom", False),
        changed=tuple(sorted(changed)),
    )
