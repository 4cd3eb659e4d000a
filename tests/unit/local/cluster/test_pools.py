"""A pool's file and its nodes say the same thing."""

import pytest

from local.cluster import pools
from local.cluster.pools import NodePool
from tests.unit.local.cluster.builders import gpu_pool


def test_a_pool_survives_its_file(tmp_path):
    pool = gpu_pool(compute_class="m", provider_id="gce://p/{zone}/{name}")
    pools.write(tmp_path, pool)
    assert pools.read_all(tmp_path) == [pool]


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
    assert pools.pool_of(node) == "gpu"


@pytest.mark.parametrize(
    ("zone", "region"), [("eu-west-1a", "eu-west-1"), ("us-central1-f", "us-central1"), ("rack", "rack")]
)
def test_the_region_is_read_off_the_zone(zone, region):
    assert pools.region_of(zone) == region


def test_long_prefixes_still_give_valid_names():
    assert len(gpu_pool(prefix="x" * 80).node("abcd", "a")["metadata"]["name"]) <= 63


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="min 3, max 2"):
        gpu_pool(min=3)


def test_a_name_cannot_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match="cannot be a pool's name"):
        pools.write(tmp_path, gpu_pool("../evil"))


def test_a_deleted_pool_is_known_until_its_nodes_are_gone(tmp_path):
    pools.write(tmp_path, gpu_pool())
    assert pools.mark_deleted(tmp_path, "gpu")
    assert pools.read_all(tmp_path)[0].deleted
    pools.forget(tmp_path, "gpu")
    assert not pools.is_known(tmp_path, "gpu")
    assert not pools.mark_deleted(tmp_path, "gpu")


def test_files_of_a_newer_version_are_read():
    data = gpu_pool().to_json()
    assert NodePool.from_json({**data, "somethingNew": 1}) == gpu_pool()
