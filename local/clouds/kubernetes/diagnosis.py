"""Why pods are not ready, in the words of those who know: scheduler, autoscaler, kubelet, the container
itself.

Pure functions on recorded pods and events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from local.clouds.kubernetes.readiness import condition, is_true

Object = Mapping[str, Any]

_MOST = 5
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})
_AUTOSCALER = "NotTriggerScaleUp"


def unready(
    pods: Iterable[Object], events: Sequence[Object], logs: Callable[[Object, str], str] = lambda pod, container: ""
) -> list[str]:
    """One line for each reason, with the pods that share it; the most frequent first.

    Args:
        pods: the pods of a workload.
        events: events of their namespace.
        logs: the last lines of a pod's container.
    """
    by_reason: dict[str, list[str]] = {}
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp") or is_true(pod, "Ready"):
            continue
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            continue
        by_reason.setdefault(why(pod, events, logs), []).append(pod["metadata"]["name"])
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = [f"{_names(names)}: {reason}" for reason, names in ordered[:_MOST]]
    if len(ordered) > _MOST:
        lines.append(f"and {sum(len(names) for _, names in ordered[_MOST:])} more pods for other reasons")
    return lines


def why(pod: Object, events: Sequence[Object], logs: Callable[[Object, str], str]) -> str:
    """Why one pod is not ready."""
    scheduled = condition(pod, "PodScheduled")
    own = [e for e in events if (e.get("involvedObject") or {}).get("uid") == pod["metadata"].get("uid")]
    if scheduled.get("status") == "False":
        reason = f"cannot be scheduled: {scheduled.get('message') or scheduled.get('reason', '')}"
        autoscaler = _latest(own, _AUTOSCALER)
        return f"{reason} ({autoscaler})" if autoscaler else reason
    status = pod.get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(group) or []:
            if reason := _container(pod, container, logs):
                return reason
    warning = next((e for e in reversed(_sorted(own)) if e.get("type") == "Warning"), None)
    if warning is not None:
        return f"{warning.get('reason')}: {warning.get('message')}"
    not_ready = [c["name"] for c in status.get("containerStatuses") or [] if not c.get("ready")]
    if not_ready:
        return f"container {', '.join(not_ready)} runs, and its readiness probe has not passed"
    return f"phase is {status.get('phase', 'unknown')}"


def _container(pod: Object, container: Object, logs: Callable[[Object, str], str]) -> str:
    name, now = container["name"], container.get("state") or {}
    waiting, ended = now.get("waiting") or {}, now.get("terminated") or {}
    before = (container.get("lastState") or {}).get("terminated") or {}
    if ended and ended.get("exitCode") == 0:
        return ""
    if not ended and (not waiting or waiting.get("reason") in _ON_ITS_WAY):
        return ""
    parts = [f"container {name}"]
    if waiting:
        parts.append(": ".join(str(p) for p in (waiting.get("reason"), waiting.get("message")) if p))
    if last := ended or before:
        parts.append(f"ended with status {last.get('exitCode')} ({last.get('reason', 'Error')})")
    text = ", ".join(parts)
    said = logs(pod, name).strip() if last else ""
    return f"{text}; its log ends with:\n{said}" if said else text


def _latest(events: Sequence[Object], reason: str) -> str:
    found = [e for e in _sorted(events) if e.get("reason") == reason]
    return str(found[-1].get("message")) if found else ""


def _sorted(events: Sequence[Object]) -> list[Object]:
    return sorted(events, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")


def _names(names: list[str]) -> str:
    return f"pod {names[0]}" if len(names) == 1 else f"{len(names)} pods ({names[0]}, ...)"
