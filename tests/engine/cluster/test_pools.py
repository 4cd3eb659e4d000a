"""Pools grow with what the real scheduler cannot place, stop at their maximum, and shrink when nobody needs
them.
"""

from dataclasses import replace

import pytest

from llm_serving.planning.simulation.node_pool import is_ready
from local.cluster import ClusterError
from tests.engine.cluster.helpers import eventually, gpu_pod, nodes_of
from tests.unit.planning.simulation.builders import gpu_pool


def running(api, namespace):
    pods = api.list("v1", "Pod", namespace)
    return {p["metadata"]["name"]: p["spec"].get("nodeName") for p in pods if p["status"]["phase"] == "Running"}


def events(api, namespace, reason):
    return [e["message"] for e in api.list("v1", "Event", namespace) if e.get("reason") == reason]


def test_a_pool_grows_to_its_maximum_and_the_next_pod_is_told_why_it_waits(api, pool, namespace):
    pool("grow", min=1, max=2)
    for name in ("a", "b"):
        api.create(gpu_pod(namespace, name, "grow"))
    placed = eventually(lambda: len(nodes := running(api, namespace)) == 2 and nodes)
    assert len(set(placed.values())) == 2  # one GPU a node
    zones = {n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in nodes_of(api, "grow")}
    assert zones == {"europe-west4-a", "europe-west4-b"}
    assert eventually(lambda: [m for m in events(api, namespace, "TriggeredScaleUp") if "1->2 (max: 2)" in m])

    api.create(gpu_pod(namespace, "c", "grow"))
    messages = eventually(lambda: [m for m in events(api, namespace, "NotTriggerScaleUp") if "max node group" in m])
    assert messages
    assert eventually(lambda: [m for m in events(api, namespace, "FailedScheduling") if "Insufficient nvidia" in m])
    assert len(nodes_of(api, "grow")) == 2


def test_empty_nodes_go_and_the_minimum_stays(api, pool, namespace):
    pool("shrink", min=1, max=3)
    for name in ("a", "b", "c"):
        api.create(gpu_pod(namespace, name, "shrink"))
    eventually(lambda: len(running(api, namespace)) == 3)
    for name in ("a", "b"):
        api.delete(gpu_pod(namespace, name, "shrink"))
    eventually(lambda: len(nodes_of(api, "shrink")) == 1)
    assert list(running(api, namespace)) == ["c"]
    api.delete(gpu_pod(namespace, "c", "shrink"))
    eventually(lambda: not api.list("v1", "Pod", namespace))
    assert len(nodes_of(api, "shrink")) == 1


def test_labels_and_taints_change_on_nodes_that_run(api, cluster, pool):
    made = pool("relabel", min=1, max=1)
    (before,) = nodes_of(api, "relabel")
    taint = {"key": "llm-serving.dev/market", "value": "spot", "effect": "NoSchedule"}
    cluster.put_pool(replace(made, labels={**made.labels, "team": "a"}, taints=(taint,)))

    def changed():
        (node,) = nodes_of(api, "relabel")
        return node["metadata"]["labels"].get("team") == "a" and node["spec"].get("taints") == [taint] and node

    assert eventually(changed)["metadata"]["uid"] == before["metadata"]["uid"]


def test_new_hardware_replaces_nodes_one_by_one(api, cluster, pool):
    made = pool("upgrade", min=2, max=2)
    old = {n["metadata"]["uid"] for n in nodes_of(api, "upgrade")}
    more = {**made.capacity, "cpu": "16"}
    cluster.put_pool(replace(made, capacity=more, allocatable=more))

    def renewed():
        now = nodes_of(api, "upgrade")
        fresh = [n for n in now if n["metadata"]["uid"] not in old and is_ready(n)]
        return len(now) == len(fresh) == 2

    eventually(renewed)


def test_a_deleted_pool_leaves_neither_nodes_nor_pods_on_them(api, cluster, pool, namespace):
    pool("gone", min=1, max=1)
    api.create(gpu_pod(namespace, "a", "gone"))
    eventually(lambda: running(api, namespace))
    cluster.delete_pool("gone")
    assert nodes_of(api, "gone") == []
    assert api.list("v1", "Pod", namespace) == []
    with pytest.raises(ClusterError, match="no pool 'gone'"):
        cluster.wait_pool("gone")


def test_a_pool_in_stockout_says_that_its_nodes_are_missing(cluster):
    cluster.put_pool(gpu_pool("sold-out", min=1, max=1, stockout=True))
    try:
        with pytest.raises(ClusterError, match="0 ready nodes of 1"):
            cluster.wait_pool("sold-out", timeout=0.5)
    finally:
        cluster.delete_pool("sold-out")
