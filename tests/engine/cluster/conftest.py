"""One real control plane for the tests of this folder. Each test has namespaces and pools of its own."""

import json
from pathlib import Path

import pytest

from local.cluster import LocalCluster, NodePool
from local.providers.kubernetes.plugin import KubernetesPlugin
from tests.engine.cluster.fixtures import api, namespace  # noqa: F401 (fixtures)

SCALE_DOWN_SECONDS = 1.0


@pytest.fixture(scope="session")
def cluster_weights(tmp_path_factory):
    """Where the cloud of the cluster keeps what weights its buckets hold."""
    return Path(tmp_path_factory.mktemp("bucket-weights"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, cluster_weights):
    """A running cluster."""
    made = LocalCluster(Path(tmp_path_factory.mktemp("cluster")) / "c")
    try:
        made.create(scale_down_seconds=SCALE_DOWN_SECONDS, bucket_weights=cluster_weights)
        yield made
    finally:
        made.delete()


@pytest.fixture
def pool(cluster):
    """Makes pools, and removes them in the end."""
    names = []

    def make(name, **changes):
        gpus = changes.pop("gpus", 1)
        resources = {"cpu": "8", "memory": "32Gi", "pods": "110", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
        values = {
            "min": 0,
            "max": 2,
            "capacity": resources,
            "allocatable": resources,
            "zones": ("europe-west4-a", "europe-west4-b"),
            "labels": {"llm-serving.dev/pool": name},
            "taints": ({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},) if gpus else (),
        }
        made = NodePool(name=name, **{**values, **changes})
        cluster.put_pool(made)
        names.append(name)
        cluster.wait_pool(name)
        return made

    yield make
    for name in dict.fromkeys(names):
        cluster.delete_pool(name)


@pytest.fixture
def plugin(cluster):
    """The kubernetes plugin, connected to the cluster."""

    made = KubernetesPlugin()
    made.configure({"kubeconfig": json.dumps(cluster.kubeconfig())})
    return made
