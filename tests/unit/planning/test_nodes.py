"""What nodes offer to pods follows the clouds' published formulas."""

import pytest

from llm_serving import catalog
from llm_serving.planning.clouds import AWS, EXISTING, GCP, cloud_named
from tests.unit.planning.builders import entry, existing_pool, pool


def test_the_example_of_gkes_documentation_comes_out():
    # "Plan GKE Standard node sizes": 4 cores and 16 GiB leave 3920m and 13498416Ki without image streaming.
    node = GCP.node_allocatable("e2-standard-4", image_streaming=False)
    assert node.cpu == 3.92
    assert node.memory_gib == pytest.approx(13498416 / 2**20, rel=0.002)


def test_image_streaming_takes_more_memory_on_gke():
    plain = GCP.node_allocatable("e2-standard-4", image_streaming=False)
    streaming = GCP.node_allocatable("e2-standard-4")
    assert streaming.memory_gib < plain.memory_gib
    assert streaming.cpu == plain.cpu


def test_eks_keeps_memory_by_number_of_pods():
    few, many = (AWS.node_allocatable("m7i.xlarge", max_pods=pods) for pods in (10, 110))
    assert few.memory_gib - many.memory_gib == pytest.approx(100 * 11 / 1024, abs=0.002)


def test_a_boot_disk_keeps_the_published_part_for_the_system():
    # 100 GiB: 10 for eviction and the least of 50, 41 and 100 for the system.
    node = GCP.node_allocatable("e2-standard-4", disk_gb=100 * 2**30 / 1e9)
    assert node.ephemeral_gib == 49.0
    assert node.local_ssd_gib == 0


def test_bundled_local_ssd_holds_ephemeral_storage_unless_it_is_refused():
    assert GCP.node_allocatable("a3-highgpu-8g").local_ssd_gib == 6000 * 0.9 - 100
    assert GCP.node_allocatable("a3-highgpu-8g", local_ssd=False).local_ssd_gib == 0
    assert GCP.node_allocatable("g2-standard-12").local_ssd_gib == 0
    assert GCP.node_allocatable("g2-standard-12", local_ssd=True).local_ssd_gib == 375 * 0.9 - 50


@pytest.mark.parametrize("cloud", catalog.CLOUDS)
def test_every_machine_leaves_something_but_never_more_than_it_has(cloud):
    for machine in catalog.machine_types(cloud):
        node = cloud_named(cloud).node_allocatable(machine.name)
        assert 0.5 * machine.memory_gib < node.memory_gib < machine.memory_gib
        assert 0.9 * machine.vcpus < node.cpu < machine.vcpus
        assert node.ephemeral_gib > 0


def test_pods_of_a_pool_must_fit_its_smallest_machine():
    mixed = pool(capacity=[entry(machineType="g2-standard-32"), entry(machineType="g2-standard-4")])
    node = GCP.pool_node(mixed)
    assert node == GCP.machine_node("g2-standard-4")
    assert node.cloud == "gcp"


def test_a_pool_of_different_machines_promises_no_more_gpus_than_each_has():
    mixed = pool(capacity=[entry(machineType="g2-standard-24"), entry(machineType="g2-standard-12")])
    assert GCP.pool_node(mixed).gpus == 1


def test_an_existing_node_is_what_its_owner_says():
    node = EXISTING.pool_node(existing_pool())
    assert (node.gpus, node.cpu, node.memory_gib, node.cloud) == (4, 64, 512, "existing")


def test_unknown_machines_and_clouds_are_refused():
    with pytest.raises(catalog.UnknownFact):
        GCP.node_allocatable("g2-standard-5")
    with pytest.raises(ValueError, match="no GPU"):
        GCP.machine_node("e2-standard-4")
