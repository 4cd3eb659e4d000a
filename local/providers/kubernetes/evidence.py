"""What the API server knows about an object that is not ready: its pods, their events, the ends of their logs.

Everything here is a help for the user and none of it decides anything, so that what cannot be read (no permission,
no such node behind it, a server that is away) is left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cluster import rest
from local.providers.kubernetes import diagnosis

Object = dict[str, Any]

_LOG_LINES = 10
_LOG_CHARACTERS = 2000
_LOG_SECONDS = 5.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and other control characters, which would reach the user's terminal."""


@dataclass(frozen=True)
class Findings:
    """Why an object is not ready.

    Attributes:
        pods: one entry a reason, with the pods that share it and the log that says more.
        complaints: the newest warning about the object itself.
    """

    pods: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()

    def or_earlier(self, earlier: "Findings") -> "Findings":
        """These findings, or the earlier ones where there are none: a Job that fails takes its pods, and their logs,
        with it."""
        return Findings(self.pods or earlier.pods, self.complaints or earlier.complaints)

    def lines(self, headline: str) -> list[str]:
        """The pods' reasons; the complaints only where no pod says why."""
        return list(self.pods) or [line for line in self.complaints if line.partition(": ")[2] not in headline]


@dataclass
class Evidence:
    """Reads on one API server.

    Args:
        client: connection.
    """

    client: rest.Kubernetes
    _silent: set[str] = field(default_factory=set)
    _late: set[str] = field(default_factory=set)
    _logs: dict[tuple[str, str], str] = field(default_factory=dict)

    def about(self, live: Mapping[str, Any]) -> Findings:
        """Why an object is not ready."""
        namespace = live["metadata"].get("namespace")
        try:
            owners = self._owners(live)
            pods = self._pods(live, owners)
            events = self.client.list("v1", "Event", namespace or "default") if namespace or not pods else []
        except (rest.ApiError, rest.UnreachableError, rest.UnknownKindError):
            return Findings()
        reasons = diagnosis.unready(pods, events, self._log, to_the_end=live["kind"] == "Job")
        return Findings(tuple(reasons), tuple(diagnosis.complaints(owners[:2], events)))

    def pods(self, live: Mapping[str, Any]) -> list[Object]:
        """The pods behind an object: its own, and not those that only carry the same labels."""
        try:
            return self._pods(live, self._owners(live))
        except (rest.ApiError, rest.UnreachableError, rest.UnknownKindError):
            return []

    def _owners(self, live: Mapping[str, Any]) -> list[Object]:
        """The object and what stands between it and its pods, the newest ReplicaSet first."""
        namespace, spec = live["metadata"].get("namespace"), live.get("spec") or {}
        if live["kind"] != "Deployment" or namespace is None:
            return [dict(live)]
        labels = selector_text(spec.get("selector") or {})
        sets = [s for s in self.client.list("apps/v1", "ReplicaSet", namespace, labels=labels) if owned(s, [live])]
        return [dict(live), *sorted(sets, key=lambda s: s["metadata"]["creationTimestamp"], reverse=True)]

    def _pods(self, live: Mapping[str, Any], owners: list[Object]) -> list[Object]:
        namespace, spec = live["metadata"].get("namespace"), live.get("spec") or {}
        if live["kind"] == "Pod":
            return [dict(live)]
        selector = spec.get("selector")
        if namespace is None or not isinstance(selector, Mapping):
            return []
        if live["kind"] in ("Service", "ReplicationController"):
            return self.client.list("v1", "Pod", namespace, labels=selector)
        if not {"matchLabels", "matchExpressions"} & set(selector) or live["kind"] == "PersistentVolumeClaim":
            return []
        return [p for p in self.client.list("v1", "Pod", namespace, labels=selector_text(selector)) if owned(p, owners)]

    def _log(self, pod: Mapping[str, Any], container: str, previous: bool) -> str:
        """The end of a log; empty where there is none, as on a simulated node. Such a node is not asked again, nor is
        one that was too late twice in a row: once, it may just be busy. Of a pod that is going, what it last gave."""
        meta, node = pod["metadata"], diagnosis.scheduled_on(pod)
        key = (meta["uid"], container)
        if node in self._silent:
            return self._logs.get(key, "")
        parameters = {
            "container": container,
            "tailLines": str(_LOG_LINES),
            "previous": "true" if previous else "false",
        }
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/log"
        try:
            text = self.client.request("GET", path, params=parameters, timeout=_LOG_SECONDS)
        except rest.UnreachableError:
            if node in self._late:
                self._silent.add(node)
            self._late.add(node)
            return self._logs.get(key, "")
        except rest.ApiError as error:
            if error.status >= 500:  # the API server found no kubelet behind it
                self._silent.add(node)
            return self._logs.get(key, "")
        self._late.discard(node)
        self._logs[key] = plain(text) if isinstance(text, str) else ""
        return self._logs[key]


def plain(text: str) -> str:
    """The end of a text that a terminal may show: no control characters, and not too much."""
    clean = "\n".join(line.rstrip() for line in _CONTROL.sub("", text.replace("\r", "\n")).splitlines() if line.strip())
    return clean if len(clean) <= _LOG_CHARACTERS else f"...{clean[-_LOG_CHARACTERS:]}"


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


def owned(thing: Mapping[str, Any], owners: list[Any]) -> bool:
    """One of the owners has made it."""
    uids = {owner["metadata"]["uid"] for owner in owners}
    return any(reference["uid"] in uids for reference in thing["metadata"].get("ownerReferences") or [])
