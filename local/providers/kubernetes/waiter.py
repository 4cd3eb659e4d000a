"""Waiting for objects to become ready or to go, with word of what they wait for."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.cluster import rest
from local.providers.kubernetes import objects, wait_for_annotation
from local.providers.kubernetes.evidence import Evidence, Findings
from local.providers.kubernetes.kinds import Kind
from local.providers.kubernetes.leftovers import Leftovers, leaving
from local.providers.kubernetes.readiness import DONE, Progress, ReadinessEvidence, deadline_passed, judge

Object = dict[str, Any]

_FIRST, _LONGEST = 0.2, 2.0
_LOOK_AROUND_SECONDS = 5.0
"""How often pods, events and logs are read while an object is waited for; the provider's ticker takes 10 s."""
_LOOK_AT_JOB_SECONDS = 1.0
"""A Job that fails may remove its pods at once."""


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


class _StatusLine:
    """What has been found out about an object while it is waited for, and told to the user.

    Attributes:
        every: seconds between two looks around.
    """

    def __init__(self, evidence: Evidence, live: Object, report: Callable[[str], None]) -> None:
        self._evidence = evidence
        self._name = _name(live)
        self._report = report
        self.every = _LOOK_AT_JOB_SECONDS if live["kind"] == "Job" else _LOOK_AROUND_SECONDS
        self._next = time.monotonic() + self.every
        self._known = Findings()
        self._reported = ""

    def now(self, live: Object, waiting: str) -> None:
        """Tell what the object waits for where it is news, and every few seconds why."""
        if time.monotonic() >= self._next:
            self._known = self._evidence.about(live).or_earlier(self._known)
            self._next = time.monotonic() + self.every
        text = "; ".join([f"{self._name}: {waiting}", *map(_one_line, self._known.lines(waiting)[:1])])
        if text != self._reported:
            self._reported = text
            self._report(text)

    def forget(self) -> None:
        """Take back what was said: it is no longer so."""
        if self._reported:
            self._report("")

    def end(self, live: Object, headline: str) -> NotReadyError:
        """The error that tells everything."""
        findings = self._evidence.about(live).or_earlier(self._known)
        return NotReadyError(live, [f"{self._name}: {headline}", *findings.lines(headline)])


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
        if objects.skips_await(live):
            return live
        end, pause, excused = time.monotonic() + seconds, _FIRST, deadline_passed(live)
        status_line = _StatusLine(Evidence(self.client), live, self.report)
        while True:
            try:
                progress = self._judge(live, excused)
            except rest.UnreachableError as error:
                progress = Progress(waiting=str(error))
            if progress.done:
                status_line.forget()
                return live
            if progress.failed:
                raise status_line.end(live, progress.failed + _advice(live))
            if time.monotonic() > end:
                raise status_line.end(live, f"timed out after {seconds:g} s: {progress.waiting}")
            status_line.now(live, progress.waiting)
            if self.cancelled.wait(pause):
                raise status_line.end(live, f"interrupted while waiting: {progress.waiting}")
            pause = min(pause * 1.5, _LONGEST, status_line.every)  # else a Job's pods go between two looks
            current = self._reread(live)
            if current is None:
                raise status_line.end(live, "somebody deleted it while it was waited for")
            live = current

    def once(self, live: Object) -> None:
        """Look once, by the rule of its kind: ``pulumi.com/waitFor`` speaks of creations and updates alone
        (provider/pkg/await/await.go, Read).

        Raises:
            NotReadyError: it is not ready now.
        """
        if objects.skips_await(live):
            return
        progress = self._judge_kind(live)
        if not progress.done:
            reason = progress.failed + _advice(live) if progress.failed else f"not ready: {progress.waiting}"
            reasons = Evidence(self.client).about(live).lines(reason)
            raise NotReadyError(live, [f"{_name(live)}: {reason}", *reasons])

    def until_gone(self, thing: Object, seconds: float) -> None:
        """Wait until an object that is being deleted has gone, or another has taken its name.

        Raises:
            StillThereError: it is still there; says what holds it.
        """
        uid, name, end = thing["metadata"].get("uid"), _name(thing), time.monotonic() + seconds
        pause, reported, leftovers = _FIRST / 2, "", Leftovers(self.client)
        read_at = time.monotonic()
        remaining: list[str] = []
        current: Object | None = thing
        while True:
            holding = "the API server does not answer"
            try:
                current = self._find(thing)
                if current is None or current["metadata"].get("uid") != uid:
                    if reported:
                        self.report("")
                    return
                holding = leaving(current)
            except rest.UnreachableError:
                current = None
            if current and time.monotonic() > read_at + _LOOK_AROUND_SECONDS:
                remaining, read_at = leftovers.of(current), time.monotonic()
            line = "; ".join([holding, *remaining])
            if line != reported:
                reported = line
                self.report(f"{name}: being deleted: {reported}")
            if time.monotonic() > end:
                held = "; ".join([holding, *((leftovers.of(current) if current else []) or remaining)])
                raise StillThereError(f"{name}: still there {seconds:g} s after its deletion was asked for: {held}")
            if self.cancelled.wait(pause):
                raise StillThereError(f"{name}: interrupted while it is being deleted: {reported}")
            pause = min(pause * 1.5, _LONGEST)

    def _judge(self, live: Object, excused: str = "") -> Progress:
        wanted = objects.annotations(live).get(objects.WAIT_FOR)
        if wanted:
            return wait_for_annotation.judge(wait_for_annotation.parse(wanted), live)
        return self._judge_kind(live, excused)

    def _judge_kind(self, live: Object, excused: str = "") -> Progress:
        """Nobody waits for a custom resource, whatever its status says, unless its annotation asks for it."""
        if not Kind(live["apiVersion"], live["kind"]).core:
            return DONE
        return judge(live, replace(self._readiness_evidence(live), excused=excused))

    def _readiness_evidence(self, live: Object) -> ReadinessEvidence:
        meta, spec = live["metadata"], live.get("spec") or {}
        if live["kind"] == "Service" and spec.get("selector"):
            labels = {"kubernetes.io/service-name": meta["name"]}
            slices = self.client.list("discovery.k8s.io/v1", "EndpointSlice", meta["namespace"], labels=labels)
            return ReadinessEvidence(endpoint_slices=tuple(slices))
        if live["kind"] == "PersistentVolumeClaim" and spec.get("storageClassName"):
            storage_class = self.client.find("storage.k8s.io/v1", "StorageClass", spec["storageClassName"])
            return ReadinessEvidence(storage_class=storage_class)
        if live["kind"] == "Ingress":
            names = sorted(_backends(spec))
            missing = [name for name in names if self.client.find("v1", "Service", name, meta["namespace"]) is None]
            return ReadinessEvidence(missing_services=tuple(missing))
        return ReadinessEvidence()

    def _reread(self, live: Object) -> Object | None:
        """The object now; ``None`` where it has gone in the meantime."""
        try:
            return self._find(live)
        except rest.UnreachableError:
            return live

    def _find(self, thing: Mapping[str, Any]) -> Object | None:
        meta = thing["metadata"]
        return self.client.find(thing["apiVersion"], thing["kind"], meta["name"], meta.get("namespace"))


def _backends(spec: Mapping[str, Any]) -> set[str]:
    """The Services that an Ingress sends to."""
    paths = [path for rule in spec.get("rules") or [] for path in (rule.get("http") or {}).get("paths") or []]
    backends = [path.get("backend") or {} for path in paths] + [spec.get("defaultBackend") or {}]
    return {backend["service"]["name"] for backend in backends if backend.get("service")}


def _advice(live: Mapping[str, Any]) -> str:
    """What helps with an object that has failed for good."""
    if live["kind"] != "Job" or objects.flagged(live, objects.REPLACE_UNREADY):
        return ""
    return (
        f'. A failed Job does not run again: with the annotation {objects.REPLACE_UNREADY}: "true" the next update '
        "replaces it"
    )


def _one_line(finding: str) -> str:
    """A finding with the last line of its log, for a status that has one line."""
    first, *log = finding.splitlines()
    return f"{first} {log[-1].strip()}" if log else first


def _name(thing: Mapping[str, Any]) -> str:
    return f"{thing['kind']} {objects.identity(thing)}"
