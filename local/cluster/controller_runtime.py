"""What the controllers of a cluster share: they wait for changes of objects, and write Events."""

import contextlib
import datetime
import logging
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.cluster import rest
from local.cluster.errors import ClusterError

_LOG = logging.getLogger(__name__)
_WATCH_SECONDS = 120
"""The longest time between two lists."""
_RETRY_SECONDS = 1.0
_REFUSED = (401, 403)


def log_to_stdout() -> None:
    """Write log records to the standard output, which the supervisor appends to the program's log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)


def event(
    thing: Mapping[str, Any], reason: str, message: str, *, component: str, warning: bool = False, host: str = ""
) -> rest.Object:
    """An Event about an object.

    Args:
        thing: the object, with its kind and version.
        reason: why, as one word in CamelCase.
        message: for people; what is longer than the API takes is cut off.
        component: the controller.
        warning: whether somebody has to do something about it.
        host: the node that the controller works on.
    """
    meta = thing["metadata"]
    timestamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in meta}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name'][:200]}.{secrets.token_hex(8)}", "namespace": meta["namespace"]},
        "involvedObject": {"apiVersion": thing["apiVersion"], "kind": thing["kind"], **known},
        "reason": reason,
        "message": message[:1024],
        "type": "Warning" if warning else "Normal",
        "source": {"component": component, **({"host": host} if host else {})},
        "reportingComponent": component,
        "firstTimestamp": timestamp,
        "lastTimestamp": timestamp,
        "count": 1,
    }


class ChangeSignal:
    """Tells a controller that something has changed, so that it need not list again and again in between.

    Args:
        gather_seconds: how long changes are gathered before they count as one: a rollout is many of them.
    """

    def __init__(self, gather_seconds: float = 0.05) -> None:
        self._gather_seconds = gather_seconds
        # Not an Event: signal handlers set it too, and might wait for an Event's lock for ever.
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()

    def set(self, failure: str = "") -> None:
        """Something has changed, or there is a failure that waiting will not mend."""
        self._failures.put(failure)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a change, ``seconds`` at most; say whether there was one since the last time.

        Raises:
            ClusterError: there was a failure.
        """
        failures: list[str] = []
        with contextlib.suppress(queue.Empty):
            failures.append(self._failures.get(timeout=seconds))
            time.sleep(self._gather_seconds)
            while True:
                failures.append(self._failures.get_nowait())
        if any(failures):
            raise ClusterError("; ".join(filter(None, failures)))
        return bool(failures)


class Informer:
    """A thread that keeps the objects of a kind as they are on the API server: list, then watch from there, for ever.

    A list that fails or a stream that ends leads to a new list; what was known stays until then.

    Args:
        client: connection to the API server.
        api_version: group and version of the kind.
        kind: the kind.
        signal: set after each list and each change, and where the API server refuses.
        fields: field selector.
        matters: whether the signal is set at a change, as the API server sends it; by default at every one.
    """

    def __init__(
        self,
        client: rest.Kubernetes,
        api_version: str,
        kind: str,
        signal: ChangeSignal,
        *,
        fields: str | None = None,
        matters: Callable[[Mapping[str, Any]], bool] = lambda change: True,
    ) -> None:
        self._client = client
        self._api_version = api_version
        self._kind = kind
        self._signal = signal
        self._fields = fields
        self._matters = matters
        self._objects: dict[tuple[str, str], rest.Object] | None = None
        self._lock = threading.Lock()

    def start(self) -> "Informer":
        """Begin, and return itself. The thread ends with the process."""
        threading.Thread(target=self._run, name=f"informer of {self._kind}", daemon=True).start()
        return self

    def objects(self) -> list[rest.Object] | None:
        """What is known; ``None`` before the first list."""
        with self._lock:
            return None if self._objects is None else list(self._objects.values())

    def _run(self) -> None:
        answers = True
        while True:
            try:
                version = self._list()
                if not answers:
                    _LOG.info("%s: the API server answers again", self._kind)
                answers, began = True, time.monotonic()
                self._watch(version)
                if time.monotonic() - began < _RETRY_SECONDS:  # a server that ends each stream at once
                    time.sleep(_RETRY_SECONDS)
            except rest.UnknownKindError as error:
                return self._signal.set(f"the API server does not serve {self._kind}: {error}")
            except (rest.ApiError, rest.UnreachableError) as error:
                if isinstance(error, rest.ApiError) and error.status in _REFUSED:
                    return self._signal.set(f"the API server refuses to list or watch {self._kind}: {error}")
                if answers:
                    _LOG.warning("%s: %s; what is known stays, trying again", self._kind, error)
                answers = False
                time.sleep(_RETRY_SECONDS)
            except Exception as error:  # a thread that ends in silence would leave what is old in place for ever
                _LOG.exception("following %s", self._kind)
                return self._signal.set(f"following {self._kind} failed: {error!r}")

    def _list(self) -> str:
        """List the objects; the resource version from which a watch goes on."""
        path = self._client.resource(self._api_version, self._kind).path()
        answer = self._client.request("GET", path, params={"fieldSelector": self._fields} if self._fields else {})
        with self._lock:
            self._objects = {_key(item): item for item in answer.get("items") or []}
        self._signal.set()
        return answer["metadata"]["resourceVersion"]

    def _watch(self, version: str) -> None:
        changes = self._client.watch(self._api_version, self._kind, _WATCH_SECONDS, since=version, fields=self._fields)
        for change in changes:
            if change["type"] == "ERROR":  # mostly 410: the version is too old
                return
            key = _key(change["object"])
            with self._lock:
                assert self._objects is not None
                if change["type"] == "DELETED":
                    self._objects.pop(key, None)
                else:
                    self._objects[key] = change["object"]
            if self._matters(change):
                self._signal.set()


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
