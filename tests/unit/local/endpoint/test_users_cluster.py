"""A cluster of the user's is looked at before anything is done to it."""

from typing import Any

import pytest

from llm_serving.spec import CacheStorageSpec
from local.cluster import ClusterError
from local.endpoint.serving_clusters import UsersCluster
from local.state_folder import StateFolder

DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}
STORAGE = CacheStorageSpec(size_gib=1)
FAST = CacheStorageSpec(size_gib=1, storage_class="fast")


class Answers:
    """The questions that are asked of a cluster, answered."""

    def __init__(self, uid: str, *classes: dict[str, Any], tls_route: str | None = None) -> None:
        self._uid, self._classes, self._tls_route = uid, classes, tls_route

    def find(self, *_: str) -> dict[str, Any] | None:
        return self._tls_route and {"spec": {"versions": [{"name": self._tls_route, "served": True}]}}

    def get(self, *_: str) -> dict[str, Any]:
        return {"metadata": {"uid": self._uid}}

    def list(self, *_: str) -> list[dict[str, Any]]:
        return list(self._classes)


def storage_class(name: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": annotations}}


def cluster(
    state_folder: StateFolder, answers: Answers, storage: CacheStorageSpec | None, monkeypatch: Any
) -> UsersCluster:
    users_cluster = UsersCluster(state_folder, "kind-llm", "", None, storage)
    monkeypatch.setattr(users_cluster, "client", lambda: answers)
    return users_cluster


@pytest.mark.parametrize(
    ("storage", "classes"),
    [
        (STORAGE, [storage_class("standard", DEFAULT)]),
        (FAST, [storage_class("fast")]),
        (None, []),
    ],
    ids=["its default", "the one that is named", "no claim is made"],
)
def test_a_cluster_that_can_hold_the_weights_is_taken(tmp_path, storage, classes, monkeypatch) -> None:
    cluster(StateFolder(tmp_path), Answers("1", *classes), storage, monkeypatch).start()


@pytest.mark.parametrize(
    ("storage", "lacks"),
    [
        (STORAGE, "no default StorageClass"),
        (FAST, "no StorageClass 'fast'"),
    ],
    ids=["no default", "another name"],
)
def test_a_cluster_that_would_leave_the_claim_pending_is_refused_with_what_there_is(
    tmp_path, storage, lacks, monkeypatch
) -> None:
    with pytest.raises(ClusterError) as caught:
        cluster(StateFolder(tmp_path), Answers("1", storage_class("slow")), storage, monkeypatch).start()
    for words in (lacks, "slow", "storageClass: NAME"):
        assert words in str(caught.value)


@pytest.mark.parametrize("tls_route", [None, "v1alpha2"], ids=["no definitions", "older ones"])
def test_a_cluster_on_which_a_gateway_would_never_become_ready_is_refused_with_what_to_do(
    tmp_path, tls_route, monkeypatch
) -> None:
    users = cluster(StateFolder(tmp_path), Answers("1", tls_route=tls_route), None, monkeypatch)
    users.start()
    with pytest.raises(ClusterError, match=r"kubectl --context kind-llm apply --server-side -f https://\S+\. Or"):
        users.start(has_gateway=True)


def test_a_cluster_with_the_definitions_of_a_gateway_is_taken(tmp_path, monkeypatch) -> None:
    cluster(StateFolder(tmp_path), Answers("1", tls_route="v1"), None, monkeypatch).start(has_gateway=True)


def test_a_cluster_that_was_made_again_under_its_old_name_holds_no_images(tmp_path, monkeypatch) -> None:
    first = cluster(StateFolder(tmp_path), Answers("1"), None, monkeypatch)
    first.start()
    (tmp_path / "loaded-images").mkdir()
    (tmp_path / "loaded-images/1.txt").write_text("localhost/llm-serving/vllm:1\n")
    assert set(first.images()) == {"localhost/llm-serving/vllm:1"}
    again = cluster(StateFolder(tmp_path), Answers("2"), None, monkeypatch)
    again.start()
    assert again.images() == {}


def test_a_cluster_that_does_not_answer_is_told_as_such(tmp_path) -> None:
    text = (
        "{current-context: kind-llm, contexts: [{name: kind-llm, context: {cluster: a, user: a}}], "
        'clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: a, user: {token: t}}]}'
    )
    with pytest.raises(ClusterError, match="does not answer"):
        UsersCluster(StateFolder(tmp_path), "kind-llm", text, None, None).start()


def test_a_kubeconfig_whose_program_is_missing_is_told_as_such(tmp_path) -> None:
    text = (
        "{current-context: x, contexts: [{name: x, context: {cluster: a, user: a}}], "
        'clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}], '
        "users: [{name: a, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin}}}]}"
    )
    with pytest.raises(ClusterError, match="no-such-plugin"):
        UsersCluster(StateFolder(tmp_path), "x", text, None, None).client()
