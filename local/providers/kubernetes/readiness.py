"""Is an object what was asked for? Decisions on recorded objects, kind by kind, as pulumi-kubernetes 4.34 takes
them (its SDK describes them at each class; defaults of time-outs: provider/pkg/await/awaiters.go).

Pure functions. What they need beside the object itself (endpoints of a Service, a claim's storage class) is
handed in. Kinds that are not listed are ready once they exist.

In two things this goes further than the provider: a Deployment whose progress deadline passes while it is waited for
has failed, and is not waited for to the end of the time-out; a CustomResourceDefinition has to be established.
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
class ReadinessEvidence:
    """What else on the server decides whether an object is ready.

    Attributes:
        endpoint_slices: those of a Service.
        storage_class: that of a claim; ``None`` where it has none that exists.
        missing_services: names of Services that an Ingress sends to and that do not exist.
        excused: moment (a condition's ``lastUpdateTime``) of a progress deadline that had passed before the wait
            began; the controller leaves the condition standing until there is progress again.
    """

    endpoint_slices: tuple[Object, ...] = ()
    storage_class: Object | None = None
    missing_services: tuple[str, ...] = ()
    excused: str = ""


DONE = Progress(done=True)

DEFAULT_SECONDS = 600.0
"""How long an object is waited for where neither ``customTimeouts`` nor an annotation says so."""
_SECONDS: Mapping[str, float] = {
    "PersistentVolume": 300.0,
    "PersistentVolumeClaim": 300.0,
    "ResourceQuota": 60.0,
    "Secret": 5.0,
}


def default_seconds(kind: str) -> float:
    """How long an object of a kind is waited for by default, in seconds."""
    return _SECONDS.get(kind, DEFAULT_SECONDS)


def condition(thing: Object, kind: str) -> Mapping[str, Any]:
    """A condition of the status, empty where it is not there."""
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def is_true(thing: Object, kind: str) -> bool:
    """A condition holds."""
    return condition(thing, kind).get("status") == "True"


def _condition_text(status: Mapping[str, Any]) -> str:
    """A condition's reason and message."""
    return ": ".join(str(part) for part in (status.get("reason"), status.get("message")) if part)


def _observed(thing: Object) -> bool:
    """The controller has seen the newest version of the object."""
    seen = (thing.get("status") or {}).get("observedGeneration", 0)
    return seen >= thing["metadata"].get("generation", 0)


def _namespace(thing: Object, _: ReadinessEvidence) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    return DONE if phase == "Active" else Progress(waiting=f"phase is {phase or 'not set'}, not Active")


def deadline_passed(thing: Object) -> str:
    """When a Deployment's controller gave its rollout up, or an empty string."""
    progressing = condition(thing, "Progressing") if thing["kind"] == "Deployment" else {}
    late = progressing.get("reason") == "ProgressDeadlineExceeded"
    return str(progressing.get("lastUpdateTime") or "unknown") if late else ""


def _deployment(thing: Object, evidence: ReadinessEvidence) -> Progress:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    if spec.get("paused"):
        return DONE
    wanted = spec.get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if updated >= wanted and ready >= wanted and old <= 0:
        return DONE
    if (late := deadline_passed(thing)) and late != evidence.excused:
        state = f"{ready} of {wanted} replicas are available"
        return Progress(failed=f"rollout failed, {state}: {_condition_text(condition(thing, 'Progressing'))}")
    refused = condition(thing, "ReplicaFailure")
    if refused.get("status") == "True":
        return Progress(waiting=f"{ready} of {wanted} replicas are available; {_condition_text(refused)}")
    if old > 0 and ready >= wanted:
        return Progress(waiting=f"{old} old replicas are still to end")
    return Progress(waiting=f"{ready} of {wanted} replicas are available, {updated} are up to date")


def _stateful_set(thing: Object, _: ReadinessEvidence) -> Progress:
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


def _daemon_set(thing: Object, _: ReadinessEvidence) -> Progress:
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    rolling = (spec.get("updateStrategy") or {}).get("type") != "OnDelete"
    if ready >= wanted and (updated >= wanted or not rolling):
        return DONE
    return Progress(waiting=f"{ready} of {wanted} pods are available, {updated} are up to date")


def _replica_set(thing: Object, _: ReadinessEvidence) -> Progress:
    if not _observed(thing):
        return Progress(waiting="the controller has not seen the change yet")
    wanted = (thing.get("spec") or {}).get("replicas", 1)
    ready = (thing.get("status") or {}).get("availableReplicas", 0)
    return DONE if ready >= wanted else Progress(waiting=f"{ready} of {wanted} replicas are available")


def _job(thing: Object, _: ReadinessEvidence) -> Progress:
    failure = condition(thing, "Failed")
    if failure.get("status") == "True":
        return Progress(failed=f"job failed: {_condition_text(failure)}")
    if is_true(thing, "Complete"):
        return DONE
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if spec.get("suspend"):
        return Progress(waiting="it is suspended (spec.suspend) and runs once somebody resumes it")
    failing = condition(thing, "FailureTarget")
    if failing.get("status") == "True":
        return Progress(waiting=f"the job fails ({_condition_text(failing)}) as soon as its pods have ended")
    pods = f"{status.get('succeeded', 0)} of {spec.get('completions', 1)} pods have succeeded"
    return Progress(waiting=f"{pods}, {status.get('active', 0)} are active, {status.get('failed', 0)} have failed")


def _pod(thing: Object, _: ReadinessEvidence) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Failed":
        return Progress(failed=f"pod failed: {(thing.get('status') or {}).get('message') or 'see its containers'}")
    if phase == "Succeeded" or is_true(thing, "Ready"):
        return DONE
    return Progress(waiting=f"phase is {phase or 'not set'}, and the pod is not ready")


def _service(thing: Object, evidence: ReadinessEvidence) -> Progress:
    spec = thing.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return DONE
    if spec.get("type") == "LoadBalancer" and not ((thing.get("status") or {}).get("loadBalancer") or {}).get(
        "ingress"
    ):
        return Progress(waiting="the load balancer has no address yet")
    if not spec.get("selector") or spec.get("clusterIP") == "None" or spec.get("publishNotReadyAddresses"):
        return DONE
    if not evidence.endpoint_slices:
        return Progress(waiting="its endpoints have not been found yet")
    endpoints = [e for s in evidence.endpoint_slices for e in s.get("endpoints") or []]
    cold = [e for e in endpoints if not _serves(e.get("conditions") or {})]
    if not cold:  # no pod at all is fine: it may be scaled to zero
        return DONE
    return Progress(waiting=f"{len(cold)} of the {len(endpoints)} pods that it selects are not ready")


def _serves(conditions: Mapping[str, Any]) -> bool:
    """Ready, or on its way out: a pod that ends is no reason to wait."""
    return conditions.get("ready", True) or conditions.get("terminating", False)


def _ingress(thing: Object, evidence: ReadinessEvidence) -> Progress:
    if evidence.missing_services:
        return Progress(waiting=f"it sends to Services that do not exist: {', '.join(evidence.missing_services)}")
    if ((thing.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return DONE
    named = (thing.get("spec") or {}).get("ingressClassName")
    return Progress(
        waiting=f"no ingress controller has given it an address (ingressClassName is {named or 'not set'}); the "
        'annotation pulumi.com/skipAwait: "true" does not wait for one'
    )


def _claim(thing: Object, evidence: ReadinessEvidence) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Lost":
        return Progress(failed="the volume that the claim was bound to is gone")
    if phase == "Bound":
        return DONE
    named = (thing.get("spec") or {}).get("storageClassName")
    if evidence.storage_class is not None:
        # One that binds late does so when a pod uses it: waiting now would wait for ever.
        if evidence.storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and phase == "Pending":
            return DONE
    elif named:
        return Progress(waiting=f"the claim is {phase or 'new'}: there is no StorageClass {named!r}")
    elif named is None:
        return Progress(waiting=f"the claim is {phase or 'new'}: the cluster has no default StorageClass")
    return Progress(waiting=f"the claim is {phase or 'new'}, not Bound")


def _volume(thing: Object, _: ReadinessEvidence) -> Progress:
    phase = (thing.get("status") or {}).get("phase", "")
    if phase == "Failed":
        return Progress(failed=(thing["status"].get("message") or "the volume failed"))
    return DONE if phase in ("Available", "Bound") else Progress(waiting=f"the volume is {phase or 'new'}")


def _definition(thing: Object, _: ReadinessEvidence) -> Progress:
    accepted = condition(thing, "NamesAccepted")
    if accepted.get("status") == "False":
        return Progress(failed=f"names were not accepted: {_condition_text(accepted)}")
    if is_true(thing, "Established"):
        return DONE
    return Progress(waiting=f"not established yet {_condition_text(condition(thing, 'Established'))}".strip())


def _quota(thing: Object, _: ReadinessEvidence) -> Progress:
    wanted = set((thing.get("spec") or {}).get("hard") or {})
    known = set((thing.get("status") or {}).get("hard") or {})
    return DONE if wanted <= known else Progress(waiting="the quota's usage has not been counted yet")


def _secret(thing: Object, _: ReadinessEvidence) -> Progress:
    if thing.get("type") != "kubernetes.io/service-account-token" or thing.get("data"):
        return DONE
    account = (thing["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name", "")
    return Progress(waiting=f"no token has been written into it; is there a ServiceAccount {account!r}?")


_RULES: Mapping[str, Callable[[Object, ReadinessEvidence], Progress]] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Ingress": _ingress,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replica_set,
    "ResourceQuota": _quota,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": _stateful_set,
}


def judge(thing: Object, evidence: ReadinessEvidence = ReadinessEvidence()) -> Progress:
    """How far an object of Kubernetes itself has come. A kind without a rule is ready once it exists."""
    rule = _RULES.get(thing["kind"])
    return DONE if rule is None else rule(thing, evidence)
