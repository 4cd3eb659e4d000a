"""Waiting for objects to become ready or to go, with word of what they wait for."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.clouds.kubernetes import diagnosis, objects, wait_for
from local.clouds.kubernetes.kinds import Kind
from local.clouds.kubernetes.readiness import DONE, Progress, Surroundings, judge, leaving
from local.cluster import rest

Object = dict[str, Any]

DEFAULT_SECONDS = 600.0
"""As pulumi-kubernetes: ten minutes for everything."""
_FIRST, _LONGEST = 0.2, 2.0


class NotReadyError(Exception):
    """An object that exists and did not become ready.

    Attributes:
        live: the object as it was last seen.
        reasons: what was found, the headline first.
    """

    def __init__(self, live: Object, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.live = live
        self.reasons = reasons


class StillThereError(Exception):
    """An object that was asked to go and is still there."""


@dataclass(frozen=True)
class Waiter:
    """Waits on one API server.

    Args:
        client: connection.
        cancelled: set when the user interrupts.
        report: called with a line whenever what is waited for changes.
    """

    client: rest.Kubernetes
    cancelled: threading.Event
    report: Callable[[str], None]

    def until_ready(self, live: Object, seconds: float) -> Object:
        """Wait for an object, and return it as it is then.

        Raises:
            NotReadyError: it failed, took too long, or the user interrupted.
        """
        if objects.flagged(live, objects.SKIP_AWAIT):
            return live
        name, end, pause, said = _name(live), time.monotonic() + seconds, _FIRST, ""
        while True:
            try:
                progress = self._judge(live)
            except rest.UnreachableError as error:
                progress = Progress(waiting=str(error))
            if progress.done:
                return live
            if progress.failed:
                raise NotReadyError(live, [f"{name}: {progress.failed}", *self._details(live)])
            if progress.waiting != said:
                said = progress.waiting
                self.report(f"{name}: {said}")
            if time.monotonic() > end:
                headline = f"{name}: timed out after {seconds:g} s: {said}"
                raise NotReadyError(live, [headline, *self._details(live)])
            if self.cancelled.wait(pause):
                raise NotReadyError(live, [f"{name}: interrupted while waiting: {said}", *self._details(live)])
            pause = min(pause * 1.5, _LONGEST)
            live = self._again(live)

    def once(self, live: Object) -> None:
        """Look once.

        Raises:
            NotReadyError: it is not ready now.
        """
        if objects.flagged(live, objects.SKIP_AWAIT):
            return
        progress = self._judge(live)
        if not progress.done:
            reason = progress.failed or f"not ready: {progress.waiting}"
            raise NotReadyError(live, [f"{_name(live)}: {reason}", *self._details(live)])

    def until_gone(self, thing: Object, seconds: float) -> None:
        """Wait until an object that is being deleted has gone, or another has taken its name.

        Raises:
            StillThereError: it is still there; says what holds it.
        """
        meta = thing["metadata"]
        name, end, pause, said = _name(thing), time.monotonic() + seconds, _FIRST / 2, ""
        while True:
            found = self._find(thing)
            if found is None or found["metadata"].get("uid") != meta.get("uid"):
                return
            if (now := leaving(found)) != said:
                said = now
                self.report(f"{name}: being deleted: {said}")
            if time.monotonic() > end:
                raise StillThereError(f"{name}: still there {seconds:g} s after its deletion was asked for: {said}")
            if self.cancelled.wait(pause):
                raise StillThereError(f"{name}: interrupted while it is being deleted: {said}")
            pause = min(pause * 1.5, _LONGEST)

    def _judge(self, live: Object) -> Progress:
        wanted = objects.annotations(live).get(objects.WAIT_FOR)
        if wanted:
            return wait_for.judge(wait_for.parse(wanted), live)
        if not Kind(live["apiVersion"], live["kind"]).core:
            return DONE
        return judge(live, self._surroundings(live))

    def _surroundings(self, live: Object) -> Surroundings:
        meta, spec = live["metadata"], live.get("spec") or {}
        if live["kind"] == "Service" and spec.get("selector"):
            labels = {"kubernetes.io/service-name": meta["name"]}
            slices = self.client.list("discovery.k8s.io/v1", "EndpointSlice", meta["namespace"], labels=labels)
            return Surroundings(endpoint_slices=tuple(slices))
        if live["kind"] == "PersistentVolumeClaim" and spec.get("storageClassName"):
            found = self.client.find("storage.k8s.io/v1", "StorageClass", spec["storageClassName"])
            return Surroundings(storage_class=found)
        return Surroundings()

    def _again(self, live: Object) -> Object:
        """The object now. One that has gone in the meantime cannot become ready."""
        try:
            found = self._find(live)
        except rest.UnreachableError:
            return live
        if found is None:
            raise NotReadyError(live, [f"{_name(live)}: somebody deleted it while it was waited for"])
        return found

    def _find(self, thing: Mapping[str, Any]) -> Object | None:
        meta = thing["metadata"]
        return self.client.find(thing["apiVersion"], thing["kind"], meta["name"], meta.get("namespace"))

    def _details(self, live: Object) -> list[str]:
        """Why the pods behind an object are not ready; nothing where that cannot be had."""
        try:
            pods = self._pods(live)
            if not pods:
                return []
            namespace = live["metadata"]["namespace"]
            events = self.client.list("v1", "Event", namespace)
        except (rest.ApiError, rest.UnreachableError):
            return []
        return diagnosis.unready(pods, events, self._log)

    def _pods(self, live: Object) -> list[Object]:
        """The pods behind an object: its own, and not those that only carry the same labels."""
        namespace, spec = live["metadata"].get("namespace"), live.get("spec") or {}
        selector = spec.get("selector")
        if live["kind"] == "Pod":
            return [live]
        if namespace is None or not isinstance(selector, Mapping):
            return []
        if live["kind"] == "Service":
            return self.client.list("v1", "Pod", namespace, labels=selector)
        owners = [live]
        if live["kind"] == "Deployment":
            sets = self.client.list("apps/v1", "ReplicaSet", namespace, labels=selector_text(selector))
            owners = [replica_set for replica_set in sets if _owned(replica_set, owners)]
        pods = self.client.list("v1", "Pod", namespace, labels=selector_text(selector))
        return [pod for pod in pods if _owned(pod, owners)]

    def _log(self, pod: Mapping[str, Any], container: str) -> str:
        meta = pod["metadata"]
        return self.client.logs(meta["namespace"], meta["name"], container)


def selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector in the form of a query."""
    words = {
        "In": "{key} in ({values})",
        "NotIn": "{key} notin ({values})",
        "Exists": "{key}",
        "DoesNotExist": "!{key}",
    }
    parts = [f"{k}={v}" for k, v in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        values = ",".join(expression.get("values") or [])
        parts.append(words[expression["operator"]].format(key=expression["key"], values=values))
    return ",".join(parts)


def _name(thing: Mapping[str, Any]) -> str:
    return f"{thing['kind']} {objects.identity(thing)}"


def _owned(thing: Mapping[str, Any], owners: list[Object]) -> bool:
    uids = {owner["metadata"]["uid"] for owner in owners}
    return any(reference["uid"] in uids for reference in thing["metadata"].get("ownerReferences") or [])
