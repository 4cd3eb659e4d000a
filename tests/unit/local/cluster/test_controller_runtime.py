"""Whoever waits for a change hears of every one, also of those between two watches, and of what waiting cannot mend."""

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from local.cluster.controller_runtime import ChangeSignal, Informer, event
from local.cluster.errors import ClusterError
from local.cluster.rest import ApiError, ApiResource, Kubernetes

GUARD_SECONDS = 30.0


class Server:
    """An API server whose watches send one change and end when they are told to."""

    def __init__(self) -> None:
        self.watched: list[str | None] = []
        self.watching, self.ends = threading.Semaphore(0), threading.Semaphore(0)

    def resource(self, api_version: str, kind: str) -> ApiResource:
        return ApiResource(api_version, kind, "pods", namespaced=True)

    def request(self, method: str, path: str, params: dict[str, str]) -> Any:
        names = [f"p{number}" for number in range(len(self.watched) + 1)]
        items = [{"metadata": {"name": name, "namespace": "n"}} for name in names]
        return {"items": items, "metadata": {"resourceVersion": str(len(self.watched))}}

    def watch(
        self, api_version: str, kind: str, seconds: int, *, since: str, fields: str | None
    ) -> Iterator[dict[str, Any]]:
        self.watched.append(since)
        self.watching.release()
        self.ends.acquire()
        yield {"type": "DELETED", "object": {"metadata": {"name": "p0", "namespace": "n"}}}


def names_of(informer: Informer) -> list[str]:
    return [object_["metadata"]["name"] for object_ in informer.objects() or []]


def test_a_watch_that_ends_leads_to_a_list_and_a_watch_from_its_version() -> None:
    server, signal = Server(), ChangeSignal(gather_seconds=0.0)
    informer = Informer(cast(Kubernetes, server), "v1", "Pod", signal, matters=lambda change: False)
    assert informer.objects() is None
    informer.start()
    server.watching.acquire(timeout=GUARD_SECONDS)
    assert signal.wait(GUARD_SECONDS)
    assert names_of(informer) == ["p0"]
    assert not signal.wait(0.0)
    server.ends.release()
    assert signal.wait(GUARD_SECONDS)  # of the new list: the change itself does not matter here
    server.watching.acquire(timeout=GUARD_SECONDS)
    assert server.watched == ["0", "1"]
    assert names_of(informer) == ["p0", "p1"]


def test_a_change_that_matters_is_heard_of_and_kept() -> None:
    server, signal = Server(), ChangeSignal(gather_seconds=0.0)
    seen: list[str] = []
    informer = Informer(
        cast(Kubernetes, server), "v1", "Pod", signal, matters=lambda change: seen.append(change["type"]) is None
    ).start()
    server.watching.acquire(timeout=GUARD_SECONDS)
    assert signal.wait(GUARD_SECONDS)
    server.ends.release()
    assert signal.wait(GUARD_SECONDS)
    assert seen == ["DELETED"]
    server.watching.acquire(timeout=GUARD_SECONDS)
    assert names_of(informer) == ["p0", "p1"]


def test_a_controller_that_the_api_server_refuses_ends_with_the_reason() -> None:
    class Refusing(Server):
        def request(self, method: str, path: str, params: dict[str, str]) -> Any:
            raise ApiError(403, {"message": "pods is forbidden"})

    signal = ChangeSignal()
    Informer(cast(Kubernetes, Refusing()), "v1", "Pod", signal).start()
    with pytest.raises(ClusterError, match="refuses to list or watch Pod: pods is forbidden"):
        signal.wait(GUARD_SECONDS)


def test_an_event_names_its_object_and_fits_into_the_api() -> None:
    object_ = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}},
    }
    written = event(object_, "Why", "x" * 2000, component="autoscaler", warning=True, host="node")
    assert written["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "7",
    }
    assert (written["type"], len(written["message"])) == ("Warning", 1024)
    assert written["source"] == {"component": "autoscaler", "host": "node"}
