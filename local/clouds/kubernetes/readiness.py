"""Is an object what was asked for? Decisions on recorded objects, kind by kind, as pulumi-kubernetes takes
them.

Pure functions. What they need beside the object itself (endpoints of a Service, a claim's storage class) is
handed in. Kinds that are not listed are ready once they exist; among them Ingress, for which the real
provider waits and which no controller of a local cluster would ever serve.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far an object has come.

    Attributes:
        done: it is ready.
        failed: why it will never be, or an empty string.
        waiting: what it waits for.
    """

    done: bool = False
    failed: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What else decides.

    Attributes:
        endpoint_slices: those of a Service.
        storage_class: that of a claim; ``None`` where it has none that exists.
    """

    endpoint_slices: tuple[Object, ...] = ()
    storage_class: Object | None = None


DONE = Progress(done=True)


def condition(thing: Object, kind: str) -> Mapping[str, Any]:
    """A condition of the status, empty where it is not there."""
    found = (thing.get("status") or {}).get("conditions") or []
    return next((c for c in found if c.get("type") == kind), {})


def is_true(thing: Object, kind: str) -> bool:
    """A condition holds."""
    return condition(thing, kind).get("status") == "True"


def _told(found: Mapping[str, Any]) -> str:
    """A condition's reason and message."""
    return ": ".join(str(part) for part in (found.get("reason"), found.get("message")) if part)


def _observed(thing: Object) -> bool:
    """The controller has seen the newest version of the object."""
    seen = (thing.get("status") or {}).get("observedGeneration", 0)
    return seen >= thing["metadata"].get("generation", 0)


def _namespace(thing: Object, _: Surroundings) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    return DONE if phase == "Active" else Progress(waiting=f"phase is {phase or 'not set'}, not Active")


def _deployment(thing: Object, _: Surroundings) -> Progress:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    if spec.get("paused"):
        return DONE
    progressing = condition(thing, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Progress(failed=f"rollout failed: {_told(progressing)}")
    wanted = spec.get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if updated >= wanted and ready >= wanted and old <= 0:
        return DONE
    refused = condition(thing, "ReplicaFailure")
    if refused.get("status") == "True":
        return Progress(waiting=f"{ready} of {wanted} replicas are available; {_told(refused)}")
    if old > 0 and ready >= wanted:
        return Progress(waiting=f"{old} old replicas are still to end")
    return Progress(waiting=f"{ready} of {wanted} replicas are available, {updated} are up to date")


def _stateful_set(thing: Object, _: Surroundings) -> Progress:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    strategy = spec.get("updateStrategy") or {}
    kept = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    updated = status.get("updatedReplicas", 0)
    due = 0 if strategy.get("type") == "OnDelete" else max(0, wanted - kept)
    if ready >= wanted and (updated >= due or status.get("currentRevision") == status.get("updateRevision")):
        return DONE
    return Progress(waiting=f"{ready} of {wanted} replicas are ready, {updated} are up to date")


def _daemon_set(thing: Object, _: Surroundings) -> Progress:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    rolling = (spec.get("updateStrategy") or {}).get("type") != "OnDelete"
    if ready >= wanted and (updated >= wanted or not rolling):
        return DONE
    return Progress(waiting=f"{ready} of {wanted} pods are available, {updated} are up to date")


def _replica_set(thing: Object, _: Surroundings) -> Progress:
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    wanted = (thing.get("spec") or {}).get("replicas", 1)
    ready = (thing.get("status") or {}).get("availableReplicas", 0)
    return DONE if ready >= wanted else Progress(waiting=f"{ready} of {wanted} replicas are available")


def _job(thing: Object, _: Surroundings) -> Progress:
    failure = condition(thing, "Failed")
    if failure.get("status") == "True":
        return Progress(failed=f"job failed: {_told(failure)}")
    if is_true(thing, "Complete") or (thing.get("spec") or {}).get("suspend"):
        return DONE
    status = thing.get("status") or {}
    wanted = (thing.get("spec") or {}).get("completions", 1)
    return Progress(
        waiting=f"{status.get('succeeded', 0)} of {wanted} pods have succeeded, {status.get('active', 0)} are active"
    )


def _pod(thing: Object, _: Surroundings) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Failed":
        return Progress(failed=f"pod failed: {(thing.get('status') or {}).get('message') or 'see its containers'}")
    if phase == "Succeeded" or is_true(thing, "Ready"):
        return DONE
    return Progress(waiting=f"phase is {phase or 'not set'}, and the pod is not ready")


def _service(thing: Object, around: Surroundings) -> Progress:
    spec = thing.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return DONE
    if spec.get("type") == "LoadBalancer" and not ((thing.get("status") or {}).get("loadBalancer") or {}).get(
        "ingress"
    ):
        return Progress(waiting="the load balancer has no address yet")
    if not spec.get("selector") or spec.get("clusterIP") == "None" or spec.get("publishNotReadyAddresses"):
        return DONE
    endpoints = [e for s in around.endpoint_slices for e in s.get("endpoints") or []]
    if any((endpoint.get("conditions") or {}).get("ready", True) for endpoint in endpoints):
        return DONE
    if endpoints:
        return Progress(waiting=f"none of the {len(endpoints)} pods that it selects is ready")
    return Progress(waiting=f"no pod matches its selector {dict(spec['selector'])}")


def _claim(thing: Object, around: Surroundings) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Lost":
        return Progress(failed="the volume that the claim was bound to is gone")
    late = around.storage_class is None or around.storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    if phase == "Bound" or late:  # a late one binds when a pod uses it: waiting now would wait for ever
        return DONE
    return Progress(waiting=f"the claim is {phase or 'new'}, not Bound")


def _volume(thing: Object, _: Surroundings) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Failed":
        return Progress(failed=(thing["status"].get("message") or "the volume failed"))
    return DONE if phase in ("Available", "Bound") else Progress(waiting=f"the volume is {phase or 'new'}")


def _definition(thing: Object, _: Surroundings) -> Progress:
    accepted = condition(thing, "NamesAccepted")
    if accepted.get("status") == "False":
        return Progress(failed=f"names were not accepted: {_told(accepted)}")
    if is_true(thing, "Established"):
        return DONE
    return Progress(waiting=f"not established yet {_told(condition(thing, 'Established'))}".strip())


def _quota(thing: Object, _: Surroundings) -> Progress:
    wanted = set((thing.get("spec") or {}).get("hard") or {})
    known = set((thing.get("status") or {}).get("hard") or {})
    return DONE if wanted <= known else Progress(waiting="the quota's usage has not been counted yet")


_RULES: Mapping[str, Callable[[Object, Surroundings], Progress]] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "ResourceQuota": _quota,
    "Service": _service,
    "StatefulSet": _stateful_set,
}


def judge(thing: Object, around: Surroundings = Surroundings()) -> Progress:
    """How far an object of Kubernetes itself has come. A kind without a rule is ready once it exists."""
    rule = _RULES.get(thing["kind"])
    return DONE if rule is None else rule(thing, around)


def leaving(thing: Object) -> str:
    """What keeps an object that is being deleted: its finalizers and what a namespace says is left in it."""
    parts: list[str] = []
    held = thing["metadata"].get("finalizers") or []
    if held:
        parts.append(f"finalizers {', '.join(held)}")
    for kind in ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure"):
        found = condition(thing, kind)
        if found.get("status") == "True" and found.get("message"):
            parts.append(str(found["message"]))
    return "; ".join(parts) or "waiting for the API server"
