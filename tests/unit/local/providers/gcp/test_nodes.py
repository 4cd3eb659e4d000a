"""Nodes of node pools: labels, taints and sizes as GKE gives them. No control plane is needed to say so."""

from typing import Any

import pytest

from llm_serving import catalog
from llm_serving.cloud.gcp.scheduling import pool_scheduling
from llm_serving.planning.clouds import GCP
from llm_serving.spec import Market
from llm_serving.spec.gcp import GcpPoolSpec
from local.providers.gcp.cloud import GoogleError
from local.providers.gcp.nodes import (
    COMPUTE_CLASS,
    PoolShape,
    check_accelerators,
    initial_size,
    machine,
    node_config,
    sizes,
)


def shape(config: dict[str, Any], **more: Any) -> PoolShape:
    values: dict[str, Any] = {
        "cluster": "demo",
        "project": "shop-dev-1",
        "name": "gpu",
        "config": node_config(config),
        "zones": ("us-central1-a",),
        "min": 0,
        "max": 4,
        "max_pods": 32,
        "tainted": True,
        **more,
    }
    return PoolShape(**values)


L4 = {
    "machineType": "g2-standard-8",
    "diskSizeGb": 200,
    "gcfsConfig": {"enabled": True},
    "guestAccelerators": [{"type": "nvidia-l4", "count": 1}],
}


def test_pods_get_what_the_planner_says() -> None:
    free = GCP.node_allocatable("g2-standard-8", max_pods=32, disk_gb=200, local_ssd=False, image_streaming=True)
    pool = shape(L4).node_pool()
    assert pool.allocatable["cpu"] == f"{round(free.cpu * 1000)}m"
    assert pool.allocatable["memory"] == f"{int(free.memory_gib * 1024 * 1024)}Ki"
    assert pool.allocatable["pods"] == "32"
    assert pool.allocatable["nvidia.com/gpu"] == pool.capacity["nvidia.com/gpu"] == "1"
    assert pool.capacity["cpu"] == "8"


def test_gpu_nodes_carry_gkes_labels_and_taint() -> None:
    labels = {"team": "search", "cloud.google.com/compute-class": "l4"}
    taints = [{"key": "dedicated", "value": "llm", "effect": "NO_EXECUTE"}]
    pool = shape({**L4, "labels": labels, "taints": taints, "spot": True}).node_pool()
    assert (
        pool.labels.items()
        >= {
            "cloud.google.com/gke-nodepool": "gpu",
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "cloud.google.com/gke-accelerator-count": "1",
            "cloud.google.com/gke-spot": "true",
            "cloud.google.com/gke-provisioning": "spot",
            "node.kubernetes.io/instance-type": "g2-standard-8",
            "cloud.google.com/machine-family": "g2",
            "cloud.google.com/gke-os-distribution": "cos",
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "team": "search",
        }.items()
    )
    assert pool.taints == (
        {"key": "dedicated", "value": "llm", "effect": "NoExecute"},
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
    )
    assert pool.compute_class == "l4"
    node = pool.node("abcd", "us-central1-a")
    assert node["metadata"]["name"].startswith("gke-demo-gpu-")
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "us-central1-a"
    assert node["spec"]["providerID"] == f"gce://shop-dev-1/us-central1-a/{node['metadata']['name']}"


def test_gke_adds_the_gpu_taint_once_and_not_to_cpu_nodes() -> None:
    own = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert len(shape({**L4, "taints": own}).taints()) == 1
    assert shape(L4, tainted=False).taints() == []
    assert shape({"machineType": "e2-standard-4"}).taints() == []


def test_cpu_nodes_have_no_gpu() -> None:
    pool = shape({"machineType": "e2-standard-4"}).node_pool()
    assert not [name for name in (*pool.capacity, *pool.labels) if "nvidia" in name or "accelerator" in name]


def test_without_a_driver_pods_find_no_gpu() -> None:
    accelerators = [
        {**L4["guestAccelerators"][0], "gpuDriverInstallationConfig": {"gpuDriverVersion": "INSTALLATION_DISABLED"}}
    ]
    assert "nvidia.com/gpu" not in shape({**L4, "guestAccelerators": accelerators}).node_pool().capacity


def test_shared_gpus_count_once_for_each_client() -> None:
    sharing = {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": 4}
    pool = shape({**L4, "guestAccelerators": [{"type": "nvidia-l4", "count": 1, "gpuSharingConfig": sharing}]})
    assert pool.node_pool().capacity["nvidia.com/gpu"] == "4"
    assert pool.labels()["cloud.google.com/gke-gpu-sharing-strategy"] == "time-sharing"


@pytest.mark.parametrize(
    ("machine_type", "gpu", "gpus", "profile", "instances"),
    [
        ("a2-highgpu-1g", "nvidia-tesla-a100", 1, "1g.5gb", "7"),
        ("a2-highgpu-1g", "nvidia-tesla-a100", 1, "1g.10gb", "4"),
        ("a2-ultragpu-2g", "nvidia-a100-80gb", 2, "1g.10gb", "14"),
        ("a3-ultragpu-8g", "nvidia-h200-141gb", 8, "3g.71gb", "16"),
    ],
)
def test_a_divided_gpu_counts_once_for_each_instance_that_its_memory_allows(
    machine_type: str, gpu: str, gpus: int, profile: str, instances: str
) -> None:
    accelerators = [{"type": gpu, "count": gpus, "gpuPartitionSize": profile}]
    zones = catalog.machine_type("gcp", machine_type).zones[:1]
    pool = shape({"machineType": machine_type, "guestAccelerators": accelerators}, zones=zones).node_pool()
    assert pool.capacity["nvidia.com/gpu"] == instances
    assert pool.labels["cloud.google.com/gke-gpu-partition-size"] == profile


def test_a_partition_that_the_gpu_does_not_have_is_refused() -> None:
    def check(machine_type: str, gpu: str, profile: str) -> None:
        accelerators = [{"type": gpu, "count": 1, "gpuPartitionSize": profile}]
        check_accelerators({"guestAccelerators": accelerators}, machine(machine_type, ("us-central1-a",)))

    with pytest.raises(GoogleError, match=r"partitions of size 1g\.20gb; it has 1g\.5gb, 1g\.10gb"):
        check("a2-highgpu-1g", "nvidia-tesla-a100", "1g.20gb")
    with pytest.raises(GoogleError, match="it has no partitions"):
        check("g2-standard-8", "nvidia-l4", "1g.5gb")


def test_machines_with_built_in_disks_put_pods_on_them() -> None:
    pool = shape({"machineType": "a3-highgpu-8g", "diskSizeGb": 200}).node_pool()
    assert pool.labels["cloud.google.com/gke-ephemeral-storage-local-ssd"] == "true"
    assert int(pool.capacity["ephemeral-storage"].removesuffix("Ki")) > 5000 * 1024 * 1024
    boot = shape(L4).node_pool()
    assert int(boot.capacity["ephemeral-storage"].removesuffix("Ki")) < 200 * 1024 * 1024


@pytest.mark.parametrize(
    ("config", "market"),
    [
        ({}, Market.ON_DEMAND),
        ({"spot": True}, Market.SPOT),
        ({"preemptible": True}, Market.SPOT),
        ({"flexStart": True}, Market.FLEX_START),
        ({"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION"}}, Market.RESERVATION),
    ],
)
def test_the_market_is_told_by_the_configuration(config: dict[str, Any], market: Market) -> None:
    assert shape({**L4, **config}).market is market


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"autoscaling": {"minNodeCount": 1, "maxNodeCount": 3}}, (3, 9)),
        ({"autoscaling": {"totalMinNodeCount": 1, "totalMaxNodeCount": 5}}, (1, 5)),
        ({"autoscaling": {"totalMaxNodeCount": 5}, "initialNodeCount": 1}, (0, 5)),
        ({"nodeCount": 2}, (6, 6)),
        ({"initialNodeCount": 1}, (3, 3)),
    ],
)
def test_limits_count_per_zone_or_for_the_whole_pool(pool: dict[str, Any], expected: tuple[int, int]) -> None:
    assert sizes(pool, 3) == expected


@pytest.mark.parametrize(("pool", "kept"), [({}, 2), ({"initialNodeCount": 0}, 0), ({"initialNodeCount": 1}, 2)])
def test_a_pool_starts_with_its_initial_nodes_and_gets_none_to_reach_its_minimum(
    pool: dict[str, Any], kept: int
) -> None:
    """GKE's autoscaler heeds a minimum when it removes nodes only (kubernetes/autoscaler#2288)."""
    known = {"autoscaling": {"totalMinNodeCount": 2, "totalMaxNodeCount": 5}, **pool}
    least, most = sizes(known, 3)
    assert shape(L4, min=least, max=most, initial=initial_size(known, 3)).node_pool().kept == kept


def test_machines_and_gpus_that_do_not_exist_are_refused() -> None:
    with pytest.raises(GoogleError, match=r"does not exist in zone 'us-central1-a'.*g2-standard-8"):
        machine("g2-standard-9", ("us-central1-a",))
    machine_type = machine("g2-standard-8", ("us-central1-a",))
    with pytest.raises(GoogleError, match="cannot have 2 x nvidia-l4; it has 1 x nvidia-l4"):
        check_accelerators({"guestAccelerators": [{"type": "nvidia-l4", "count": 2}]}, machine_type)
    with pytest.raises(GoogleError, match="does not exist in zone 'africa-south1-a'"):
        machine("g2-standard-8", ("africa-south1-a",))


@pytest.mark.parametrize(
    ("accelerator", "machine", "sharing"),
    [
        ("L4", "g2-standard-24", {"strategy": "time-sharing", "clients": 3}),
        ("A100-40GB", "a2-highgpu-2g", {"partition": "2g.10gb"}),
    ],
)
def test_nodes_of_a_shared_pool_have_the_parts_and_labels_that_pods_ask_for(
    accelerator: str, machine: str, sharing: dict[str, Any]
) -> None:
    capacity = [{"market": "on-demand", "machineType": machine, "max": 1}]
    pool = GcpPoolSpec.model_validate(
        {"name": "p", "accelerator": accelerator, "capacity": capacity, "sharing": sharing}
    )
    gpu = catalog.machine_type("gcp", machine)
    in_turns = {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": sharing.get("clients")}
    config = {"gpuPartitionSize": sharing["partition"]} if "partition" in sharing else {"gpuSharingConfig": in_turns}
    guest = {"type": gpu.accelerator_label, "count": gpu.gpus, **config}
    node = shape({"machineType": machine, "guestAccelerators": [guest], "labels": {COMPUTE_CLASS: "p"}})
    scheduling = pool_scheduling(pool, 32)
    assert node.gpus == scheduling.gpus_per_node
    assert scheduling.node_selector.items() <= node.labels().items()
