"""Simulated GPU nodes live beside the real one in one control plane, and each gets the pods that are meant for it."""

import pytest

from local.cluster import NodePool
from tests.engine.cluster.helpers import eventually, gpu_pod
from tests.node.helpers import pod


@pytest.fixture
def pool(cluster):
    """A pool of simulated GPU nodes."""
    resources = {"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "1"}
    made = NodePool(
        name="gpu",
        min=0,
        max=1,
        capacity=resources,
        allocatable=resources,
        zones=("europe-west4-a",),
        labels={"llm-serving.dev/pool": "gpu"},
        taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
    )
    cluster.put_pool(made)
    yield made
    cluster.delete_pool(made.name)


def test_gpu_pods_go_to_simulated_nodes_and_others_to_this_machine(cluster, api, namespace, pool):
    api.create(gpu_pod(namespace, "gpu", pool.name))
    api.create(pod(namespace, "real", "exec /bin/busybox sleep 3600", nodeSelector={}))

    def running(name):
        live = api.get("v1", "Pod", name, namespace)
        return live if live["status"].get("phase") == "Running" else None

    simulated = eventually(lambda: running("gpu"))
    assert simulated["spec"]["nodeName"].startswith("gpu-")
    assert eventually(lambda: running("real"))["spec"]["nodeName"] == "local-node"
    ranges = cluster.addresses()
    assert not any(simulated["status"]["podIP"] == str(host) for host in ranges.pods.hosts())
