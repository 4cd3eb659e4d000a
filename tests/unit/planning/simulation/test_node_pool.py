"""A pool's nodes are what the cloud would make of it."""

import pytest

from llm_serving.planning.simulation.node_pool import NodePool, pool_of, region_of
from tests.unit.planning.simulation.builders import gpu_pool


def test_a_node_carries_what_the_cloud_puts_on_it():
    pool = gpu_pool(prefix="gke-c-gpu-1234", provider_id="gce://p/{zone}/{name}")
    node = pool.node("abcd", "europe-west4-b")
    assert node["metadata"]["name"] == "gke-c-gpu-1234-abcd"
    labels = node["metadata"]["labels"]
    assert labels["topology.kubernetes.io/zone"] == "europe-west4-b"
    assert labels["topology.kubernetes.io/region"] == "europe-west4"
    assert labels["kubernetes.io/hostname"] == "gke-c-gpu-1234-abcd"
    assert labels["llm-serving.dev/pool"] == "gpu"
    assert node["spec"]["providerID"] == "gce://p/europe-west4-b/gke-c-gpu-1234-abcd"
    assert node["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert pool_of(node) == "gpu"


@pytest.mark.parametrize(
    ("zone", "region"), [("eu-west-1a", "eu-west-1"), ("us-central1-f", "us-central1"), ("rack", "rack")]
)
def test_the_region_is_read_off_the_zone(zone, region):
    assert region_of(zone) == region


def test_long_prefixes_still_give_valid_names():
    assert len(gpu_pool(prefix="x" * 80).node("abcd", "a")["metadata"]["name"]) <= 63


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="min 3, max 2"):
        gpu_pool(min=3)


def test_files_of_a_newer_version_are_read():
    data = gpu_pool().to_json()
    assert NodePool.from_json({**data, "somethingNew": 1}) == gpu_pool()
