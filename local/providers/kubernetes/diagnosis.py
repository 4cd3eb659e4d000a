"""Why pods are not ready, in the words of those who know: scheduler, autoscaler, kubelet, the container
itself.

Pure functions on recorded pods and events. Where they come from is for ``evidence.py``.
"""

import re
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from local.providers.kubernetes.readiness import condition, is_true

Object = Mapping[str, Any]

Log = Callable[[Object, str, bool], str]
"""The last lines of a pod's container; of its run before the present one where the last argument says so."""

_MOST = 5
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
_AUTOSCALER = "NotTriggerScaleUp"


@dataclass(frozen=True)
class Reason:
    """Why one pod is not ready.

    Attributes:
        text: the reason. Names of pods and addresses do not stand in it, so that pods with one reason share it.
        container: whose log says more, or an empty string.
        previous: the log of the container's run before the present one says it.
    """

    text: str
    container: str = ""
    previous: bool = False


def unready(
    pods: Iterable[Object],
    events: Sequence[Object],
    log: Log = lambda pod, container, previous: "",
    *,
    to_the_end: bool = False,
) -> list[str]:
    """One line for each reason, with the pods that share it; the most frequent first. The log that says more stands
    under it.

    Args:
        pods: the pods of a workload.
        events: events of their namespace.
        log: the last lines of a container.
        to_the_end: the pods have to succeed, as those of a Job: one that runs well is not done either.
    """
    by_reason: dict[Reason, list[Object]] = {}
    newest_first = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)
    for pod in newest_first:
        ready = is_true(pod, "Ready")
        if pod["metadata"].get("deletionTimestamp") or (ready and not to_the_end):
            continue
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            continue
        by_reason.setdefault(_running(pod) if ready else why(pod, events), []).append(pod)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = [_line(reason, sharing, log) for reason, sharing in ordered[:_MOST]]
    if len(ordered) > _MOST:
        lines.append(f"and {sum(len(sharing) for _, sharing in ordered[_MOST:])} more pods for other reasons")
    return lines


def complaints(owners: Iterable[Object], events: Sequence[Object]) -> list[str]:
    """The newest warning about each object itself: pods that may not be made, a claim that finds no volume."""
    lines: list[str] = []
    for owner in owners:
        warning = _newest(_about(owner, events), lambda event: event.get("type") == "Warning")
        if warning:
            lines.append(f"{owner['kind']} {owner['metadata']['name']}: {_event_text(warning)}")
    return lines


def why(pod: Object, events: Sequence[Object]) -> Reason:
    """Why one pod is not ready."""
    status = pod.get("status") or {}
    own = _about(pod, events)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and status.get("phase", "Pending") == "Pending":
        reason = f"cannot be scheduled: {scheduled.get('message') or scheduled.get('reason', '')}"
        autoscaler = _newest(own, lambda event: event.get("reason") == _AUTOSCALER)
        return Reason(f"{reason} ({autoscaler.get('message')})" if autoscaler else reason)
    if status.get("reason"):  # Evicted, Preempted, DeadlineExceeded: said of the whole pod
        return Reason(f"{status['reason']}: {status.get('message') or 'no more is said'}")
    cause = _init_containers(pod, own) or _containers(pod, own) or Reason(_without_containers(pod, own))
    return replace(cause, text=_anonymous(cause.text, pod))


def _running(pod: Object) -> Reason:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    names = [status["name"] for status in statuses if "running" in (status.get("state") or {})]
    if names:
        return Reason(f"container {', '.join(names)} runs", names[0])
    # Ready is taken back a moment after a container has ended; its log is still there.
    return Reason("runs", statuses[0]["name"]) if statuses else Reason("runs")


def _line(reason: Reason, pods: Sequence[Object], log: Log) -> str:
    names = [pod["metadata"]["name"] for pod in pods]
    subject = f"pod {names[0]}" if len(names) == 1 else f"{len(names)} pods ({names[0]}, ...)"
    line = f"{subject}: {reason.text}"
    log_end = log(pods[0], reason.container, reason.previous).strip() if reason.container else ""
    return (
        "\n".join([f"{line}; its log ends with:", *(f"    {each}" for each in log_end.splitlines())])
        if log_end
        else line
    )


def _init_containers(pod: Object, own: Sequence[Object]) -> Reason | None:
    """They run one after the other: the first that is not through decides."""
    sidecars = {
        container["name"]
        for container in (pod.get("spec") or {}).get("initContainers") or []
        if container.get("restartPolicy") == "Always"
    }
    for container in (pod.get("status") or {}).get("initContainerStatuses") or []:
        now = container.get("state") or {}
        through = (now.get("terminated") or {}).get("exitCode") == 0
        if through or (container["name"] in sidecars and container.get("started")):
            continue
        if "running" not in now or container["name"] in sidecars:
            return _container(pod, container, own)
        text = f"init container {container['name']} still runs{_restarts(container)}"
        before = (container.get("lastState") or {}).get("terminated")
        return Reason(
            f"{text}; before that it {_end(pod, container['name'], before)}" if before else text, container["name"]
        )
    return None


def _containers(pod: Object, own: Sequence[Object]) -> Reason | None:
    """Every container with something to say; the log of the first of them."""
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    reasons = [reason for container in containers if (reason := _container(pod, container, own))]
    if not reasons:
        return None
    first = next((reason for reason in reasons if reason.container), reasons[0])
    return Reason("; ".join(reason.text for reason in reasons), first.container, first.previous)


def _container(pod: Object, container: Object, own: Sequence[Object]) -> Reason | None:
    """Why one container is not ready; ``None`` where it is, or where it only waits for something else."""
    name, now = container["name"], container.get("state") or {}
    waiting, ended = now.get("waiting"), now.get("terminated")
    before = (container.get("lastState") or {}).get("terminated")
    if ended is not None:
        if ended.get("exitCode") == 0:
            return None
        return Reason(f"container {name} {_end(pod, name, ended)}{_restarts(container)}", name)
    if waiting is not None:
        if waiting.get("reason") in _ON_ITS_WAY or not waiting.get("reason"):
            return None
        text = f"container {name}: {_waiting(waiting, own)}{_restarts(container)}"
        return Reason(f"{text}; it {_end(pod, name, before)}", name) if before else Reason(text)
    if "running" not in now or container.get("ready"):
        return None
    probe = _newest(
        own,
        lambda event: event.get("reason") == "Unhealthy" and f"{{{name}}}" in str(_object_of(event).get("fieldPath")),
    )
    which = "readiness" if container.get("started", True) else "startup"
    text = f"container {name} runs, and "
    text += str(probe.get("message")).strip() if probe else f"its {which} probe has not passed"
    if before is None:
        return Reason(text + _restarts(container), name)
    return Reason(f"{text}{_restarts(container)}; before that it {_end(pod, name, before)}", name, previous=True)


def _waiting(waiting: Object, own: Sequence[Object]) -> str:
    reason, message = waiting.get("reason"), waiting.get("message") or ""
    if reason == "CrashLoopBackOff":  # its message names the pod and a delay, and says no more
        return "CrashLoopBackOff"
    text = f"{reason}: {message}" if message else str(reason)
    if reason in _PULLING:
        failure = _newest(own, lambda event: str(event.get("message")).startswith("Failed to pull image"))
        cause = str(failure.get("message")).partition('": ')[2] if failure else ""
        if cause not in text:
            text += f" ({cause})"
    return text


def _end(pod: Object, name: str, ended: Object) -> str:
    """How a container ended."""
    code = ended.get("exitCode") or 0
    parts = [str(ended.get("reason") or "Error")]
    if code > 128 and code - 128 in {number.value for number in signal.Signals}:
        parts.append(signal.Signals(code - 128).name)
    text = f"ended with status {code} ({', '.join(parts)})"
    if ended.get("reason") == "OOMKilled" and (limit := _memory_limit(pod, name)):
        text += f", its memory limit is {limit}"
    message = str(ended.get("message") or "").strip()
    return f"{text}: {message}" if message else text


def _memory_limit(pod: Object, name: str) -> str:
    spec = pod.get("spec") or {}
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if container.get("name") == name:
            return str(((container.get("resources") or {}).get("limits") or {}).get("memory") or "")
    return ""


def _restarts(container: Object) -> str:
    count = container.get("restartCount") or 0
    return f", restarted {count} {'time' if count == 1 else 'times'}" if count else ""


def _without_containers(pod: Object, own: Sequence[Object]) -> str:
    """No container says why: it has not been made yet, or all of them are fine."""
    status = pod.get("status") or {}
    if warning := _newest(own, lambda event: event.get("type") == "Warning"):
        return _event_text(warning)
    making = [c["name"] for c in status.get("containerStatuses") or [] if "waiting" in (c.get("state") or {})]
    if making or (status.get("phase") == "Pending" and scheduled_on(pod)):
        newest = _newest(own, lambda event: event.get("reason") != "Scheduled")
        doing = f" ({_event_text(newest)})" if newest else ""
        return f"its containers are being made on node {scheduled_on(pod)}{doing}"
    if message := condition(pod, "Ready").get("message"):
        return str(message)
    return f"phase is {status.get('phase', 'unknown')}"


def scheduled_on(pod: Object) -> str:
    """The node of a pod, or an empty string."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _anonymous(text: str, pod: Object) -> str:
    """Without what differs between pods that fail alike."""
    for address in (pod.get("status") or {}).get("podIPs") or []:
        if address.get("ip"):
            text = text.replace(f"[{address['ip']}]", "POD").replace(address["ip"], "POD")
    return re.sub(r"\s*\n\s*", " ", text)


def _about(thing: Object, events: Sequence[Object]) -> list[Object]:
    uid = thing["metadata"].get("uid")
    return [event for event in events if _object_of(event).get("uid") == uid]


def _object_of(event: Object) -> Object:
    return event.get("involvedObject") or {}


def _newest(events: Iterable[Object], wanted: Callable[[Object], bool]) -> Object | None:
    return max((event for event in events if wanted(event)), key=_moment, default=None)


def _moment(event: Object) -> str:
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(series or event.get("lastTimestamp") or event.get("eventTime") or "")


def _event_text(event: Object) -> str:
    return f"{event.get('reason')}: {str(event.get('message')).strip()}"
