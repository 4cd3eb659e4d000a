import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.errors import InputPropertiesError

from llm_serving import catalog
from llm_serving.cloud.gcp.gpu_pools import plan_node_pools
from llm_serving.planning.clouds import GCP
from llm_serving.planning.quota import gpu_quotas
from llm_serving.spec import Market
from llm_serving.spec.gcp import GcpPoolSpec
from tests.unit.cloud.gcp.environment import FLEX_START, LABELS, ON_DEMAND, RESERVED, SPOT, ZONES, gpu_pool
from tests.unit.recording import Recorded, Recording

POOL = "container/nodePool:NodePool"
CLASS = "kubernetes:cloud.google.com/v1:ComputeClass"


def node_pool(capacity: dict[str, Any], **settings: Any) -> Recorded:
    return gpu_pool(capacity, **settings).one(POOL)


def priorities(recording: Recording) -> list[str]:
    return [name for rule in recording.one(CLASS)["spec.priorities"] for name in rule["nodepools"]]


def test_compute_class_lists_the_pools_in_the_order_of_preference() -> None:
    recording = gpu_pool(RESERVED, SPOT, ON_DEMAND)
    markets = {r["name"]: r["nodeConfig.labels"]["llm-serving.dev/market"] for r in recording.all(POOL)}
    assert [markets[name] for name in priorities(recording)] == ["reservation", "spot", "on-demand"]
    assert recording.output("nodePoolNames") == priorities(recording)


def test_gke_makes_no_nodes_besides_those_that_were_asked_for() -> None:
    compute_class = gpu_pool().one(CLASS)
    assert compute_class["spec.nodePoolAutoCreation.enabled"] is False
    assert compute_class["spec.whenUnsatisfiable"] == "DoNotScaleUp"


def test_compute_class_is_made_by_the_provider_of_the_cluster() -> None:
    recording = gpu_pool()
    provider = recording.one("pulumi:providers:kubernetes")
    assert recording.one(CLASS).provider.startswith(provider.urn)


def test_every_node_of_the_pool_belongs_to_its_compute_class() -> None:
    recording = gpu_pool(RESERVED, SPOT, ON_DEMAND, FLEX_START)
    for pool in recording.all(POOL):
        assert pool["nodeConfig.labels"]["cloud.google.com/compute-class"] == "l4"
        assert {"key": "cloud.google.com/compute-class", "value": "l4", "effect": "NO_SCHEDULE"} in pool[
            "nodeConfig.taints"
        ]


def test_gpu_pool_leaves_the_gpu_taint_to_gke() -> None:
    for pool in gpu_pool(SPOT, ON_DEMAND).all(POOL):
        assert "nvidia.com/gpu" not in {taint["key"] for taint in pool["nodeConfig.taints"]}


def test_spot_pool_is_tainted_and_its_toleration_is_in_the_contract() -> None:
    recording = gpu_pool(SPOT)
    taints = recording.one(POOL)["nodeConfig.taints"]
    assert {"key": "llm-serving.dev/market", "value": "spot", "effect": "NO_SCHEDULE"} in taints
    assert {
        "key": "llm-serving.dev/market",
        "operator": "Equal",
        "value": "spot",
        "effect": "NoSchedule",
    } in recording.output("scheduling")["tolerations"]


def test_pods_that_follow_the_contract_fit_every_node_of_the_pool() -> None:
    recording = gpu_pool(RESERVED, SPOT, ON_DEMAND, FLEX_START)
    contract = recording.output("scheduling")
    for pool in recording.all(POOL):
        assert contract["nodeSelector"].items() <= pool["nodeConfig.labels"].items()
        taints = [(t["key"], t["value"]) for t in pool["nodeConfig.taints"]] + [("nvidia.com/gpu", "present")]
        for key, value in taints:
            assert any(
                t["key"] == key and (t["operator"] == "Exists" or t["value"] == value) for t in contract["tolerations"]
            ), f"nobody tolerates {key}={value}"


def test_pods_tolerate_nothing_that_no_node_of_the_pool_has() -> None:
    keys = {t["key"] for t in gpu_pool(ON_DEMAND).output("scheduling")["tolerations"]}
    assert "llm-serving.dev/market" not in keys


@pytest.mark.parametrize(("capacity", "notice"), [((SPOT, ON_DEMAND), 15), ((ON_DEMAND,), None)])
def test_contract_tells_how_long_pods_have_when_a_node_is_taken_away(
    capacity: tuple[dict[str, Any], ...], notice: int | None
) -> None:
    assert gpu_pool(*capacity).output("scheduling").get("spotNoticeSeconds") == notice


def test_spot_nodes_that_take_longer_to_end_say_so_to_gke_and_to_pods() -> None:
    recording = gpu_pool(SPOT, ON_DEMAND, spot_shutdown_seconds=120)
    kubelets = {
        r["nodeConfig.labels"]["llm-serving.dev/market"]: r["nodeConfig.kubeletConfig"] for r in recording.all(POOL)
    }
    spot = kubelets["spot"]
    assert spot["shutdownGracePeriodSeconds"] == 120
    kept = spot["shutdownGracePeriodCriticalPodsSeconds"]
    assert recording.output("scheduling")["spotNoticeSeconds"] == 120 - kept
    assert "shutdownGracePeriodSeconds" not in kubelets["on-demand"]


def test_the_default_end_of_spot_nodes_is_left_unsaid_for_clusters_that_know_no_other() -> None:
    for pool in gpu_pool(SPOT, ON_DEMAND).all(POOL):
        assert not [key for key in pool["nodeConfig.kubeletConfig"] if key.startswith("shutdown")]


def test_contract_names_the_markets_that_are_not_taken_away_as_nodes_are_labelled() -> None:
    recording = gpu_pool(RESERVED, SPOT, ON_DEMAND, FLEX_START)
    markets = recording.output("scheduling")["nonPreemptibleMarkets"]
    assert markets == ["reservation", "on-demand"]
    assert set(markets) <= {r["nodeConfig.labels"]["llm-serving.dev/market"] for r in recording.all(POOL)}
    assert gpu_pool(SPOT).output("scheduling")["nonPreemptibleMarkets"] == []


def test_nodes_go_only_when_they_are_empty_and_stay_as_long_as_was_asked_for() -> None:
    policy = gpu_pool(idle_minutes=45).one(CLASS)["spec.autoscalingPolicy"]
    assert policy == {"consolidationDelayMinutes": 45, "consolidationThreshold": 0, "gpuConsolidationThreshold": 0}


@pytest.mark.parametrize("wanted", [True, False])
def test_instances_are_moved_to_preferred_capacity_only_on_request(wanted: bool) -> None:
    recording = gpu_pool(return_to_preferred=True) if wanted else gpu_pool()
    assert recording.one(CLASS)["spec.activeMigration.optimizeRulePriority"] is wanted


def test_contract_is_known_in_a_preview() -> None:
    assert gpu_pool(preview=True).output("scheduling")["gpusPerNode"] == 1


def test_contract_leaves_room_for_what_the_node_keeps() -> None:
    machine = catalog.machine_type("gcp", "g2-standard-12")
    contract = gpu_pool(SPOT).output("scheduling")
    assert 0 < contract["nodeAllocatableCpu"] < machine.vcpus
    assert 0 < contract["nodeAllocatableMemoryGib"] < machine.memory_gib


def test_spot_nodes_are_bought_as_spot() -> None:
    pool = node_pool(SPOT)
    assert pool["nodeConfig.spot"] is True
    assert pool["autoscaling.locationPolicy"] == "ANY"


def test_on_demand_nodes_are_spread_over_the_zones() -> None:
    pool = node_pool(ON_DEMAND)
    assert pool.get("nodeConfig.spot") is None
    assert pool["autoscaling.locationPolicy"] == "BALANCED"


def test_reserved_nodes_consume_their_reservation_and_no_other() -> None:
    assert node_pool(RESERVED)["nodeConfig.reservationAffinity"] == {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["ours"],
    }


def test_flex_start_nodes_keep_to_the_terms_of_flex_start() -> None:
    pool = node_pool(FLEX_START)
    assert pool["nodeConfig.flexStart"] is True
    assert pool["nodeConfig.maxRunDuration"] == "604800s"
    assert pool["nodeConfig.reservationAffinity.consumeReservationType"] == "NO_RESERVATION"
    assert pool["management.autoRepair"] is False
    assert (pool["initialNodeCount"], pool["autoscaling.totalMinNodeCount"]) == (0, 0)
    assert pool.get("upgradeSettings") is None
    assert pool.get("queuedProvisioning") is None


def test_upgrade_needs_no_spare_gpu() -> None:
    for pool in gpu_pool(RESERVED, SPOT, ON_DEMAND).all(POOL):
        assert (pool["upgradeSettings.maxSurge"], pool["upgradeSettings.maxUnavailable"]) == (0, 1)


def test_initial_node_count_never_replaces() -> None:
    for pool in gpu_pool(RESERVED, SPOT, ON_DEMAND, FLEX_START).all(POOL):
        assert "initialNodeCount" in pool.ignore_changes
        assert "nodeCount" not in pool.inputs


def test_counts_are_of_the_whole_pool_and_not_per_zone() -> None:
    pool = node_pool({**ON_DEMAND, "min": 1, "max": 3})
    assert pool["autoscaling"] == {"totalMinNodeCount": 1, "totalMaxNodeCount": 3, "locationPolicy": "BALANCED"}


@given(least=st.integers(0, 20), zones=st.integers(1, 4))
def test_creation_never_asks_for_more_than_the_minimum(least: int, zones: int) -> None:
    entry = {"market": "on-demand", "machineType": "g2-standard-12", "min": least, "max": 20}
    pool = GcpPoolSpec.model_validate({"name": "l4", "accelerator": "L4", "capacity": [entry]})
    names = [f"zone-{index}" for index in range(zones)]
    explicit = pool.model_copy(update={"capacity": (pool.capacity[0].model_copy(update={"zones": tuple(names)}),)})
    planned = plan_node_pools(explicit, names, 32)[0]
    assert planned.initial_nodes * zones <= least
    # And for no less than an even share: GKE adds no nodes to reach the minimum (kubernetes/autoscaler#2288).
    assert least - planned.initial_nodes * zones < zones


def test_quotas_are_what_the_node_pools_take_at_their_largest_with_upgrades() -> None:
    """Of each node pool its most nodes, and the nodes that an upgrade adds before it removes one (GKE documentation,
    "Node upgrade strategies", maxSurge)."""
    recording = gpu_pool(SPOT, ON_DEMAND)
    taken: dict[str, int] = {}
    for node_pool in recording.all(POOL):
        name = "PREEMPTIBLE_NVIDIA_L4_GPUS" if node_pool.get("nodeConfig.spot") else "NVIDIA_L4_GPUS"
        nodes = node_pool["autoscaling.totalMaxNodeCount"] + node_pool["upgradeSettings.maxSurge"]
        gpus = sum(gpu["count"] for gpu in node_pool["nodeConfig.guestAccelerators"])
        taken[name] = taken.get(name, 0) + nodes * gpus
        taken["GPUS_ALL_REGIONS"] = taken.get("GPUS_ALL_REGIONS", 0) + nodes * gpus
    entries = [{"market": c["market"], "machineType": c["machine_type"], "max": c["max"]} for c in (SPOT, ON_DEMAND)]
    pool = GcpPoolSpec.model_validate({"name": "l4", "accelerator": "L4", "capacity": entries})
    assert {quota.name: quota.amount for quota in gpu_quotas(GCP, "us-central1", [pool])} == taken


def test_the_end_of_a_pool_honours_disruption_budgets() -> None:
    for pool in gpu_pool(SPOT, ON_DEMAND).all(POOL):
        assert pool["nodeDrainConfigs"] == [{"respectPdbDuringNodePoolDeletion": True}]


def test_gke_installs_the_driver() -> None:
    gpus = node_pool({**SPOT, "machine_type": "g2-standard-24"})["nodeConfig.guestAccelerators"]
    assert gpus == [{"type": "nvidia-l4", "count": 2, "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"}}]


def test_shared_gpus_are_asked_of_the_cloud_and_selected_by_pods() -> None:
    sharing = {"strategy": "time-sharing", "clients": 3}
    recording = gpu_pool({**SPOT, "machine_type": "g2-standard-24"}, sharing=sharing)
    (pool,) = recording.all(POOL)
    (gpu,) = pool["nodeConfig.guestAccelerators"]
    assert gpu["gpuSharingConfig"] == {"gpuSharingStrategy": "TIME_SHARING", "maxSharedClientsPerGpu": 3}
    assert (gpu["count"], "gpuPartitionSize" in gpu) == (2, False)
    scheduling = recording.output("scheduling")
    assert (scheduling["gpusPerNode"], scheduling["accelerator"]) == (6, "L4 shared by 3")
    assert scheduling["nodeSelector"] == {
        "cloud.google.com/compute-class": "l4",
        "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
        "cloud.google.com/gke-max-shared-clients-per-gpu": "3",
    }


def test_gpus_are_divided_into_the_instances_of_the_setting() -> None:
    capacity = {**SPOT, "machine_type": "a2-highgpu-1g"}
    recording = gpu_pool(capacity, accelerator="A100-40GB", sharing={"partition": "2g.10gb"})
    (pool,) = recording.all(POOL)
    (gpu,) = pool["nodeConfig.guestAccelerators"]
    assert (gpu["gpuPartitionSize"], gpu["count"], "gpuSharingConfig" in gpu) == ("2g.10gb", 1, False)
    scheduling = recording.output("scheduling")
    assert scheduling["gpusPerNode"] == 3
    assert scheduling["nodeSelector"]["cloud.google.com/gke-gpu-partition-size"] == "2g.10gb"


def test_another_way_of_sharing_is_another_node_pool() -> None:
    ways: list[Any] = [None, {"strategy": "time-sharing", "clients": 2}, {"strategy": "time-sharing", "clients": 3}]
    names = {gpu_pool(SPOT, sharing=way).one(POOL)["name"] for way in ways}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("machine", "accelerator", "local_ssd", "disks"),
    [
        ("a3-highgpu-8g", "H100-80GB", None, 16),
        ("g2-standard-48", "L4", None, None),
        ("g2-standard-48", "L4", True, 4),
        ("a3-highgpu-8g", "H100-80GB", False, None),
    ],
)
def test_local_ssd_backs_ephemeral_storage_where_it_is_wanted(
    machine: str, accelerator: str, local_ssd: bool | None, disks: int | None
) -> None:
    settings: dict[str, Any] = {} if local_ssd is None else {"local_ssd": local_ssd}
    recording = gpu_pool({**SPOT, "machine_type": machine}, accelerator=accelerator, **settings)
    assert recording.one(POOL).get("nodeConfig.ephemeralStorageLocalSsdConfig.localSsdCount") == disks
    assert recording.output("scheduling")["localSsd"] == (disks is not None)


@pytest.mark.parametrize(
    ("machine", "accelerator", "disk"),
    [("g2-standard-12", "L4", "pd-balanced"), ("a3-ultragpu-8g", "H200", "hyperdisk-balanced")],
)
def test_boot_disk_is_one_that_the_machine_takes(machine: str, accelerator: str, disk: str) -> None:
    zones = [z for z in catalog.machine_type("gcp", machine).zones if z.startswith("us-central1-")] or ZONES
    recording = gpu_pool({**SPOT, "machine_type": machine}, accelerator=accelerator, args={"zones": zones})
    assert recording.one(POOL)["nodeConfig.diskType"] == disk


def test_every_gpu_machine_of_the_catalog_becomes_a_node_pool() -> None:
    for machine in catalog.machine_types("gcp"):
        if machine.accelerator is None:
            continue
        pool = GcpPoolSpec.model_validate(
            {
                "name": "pool",
                "accelerator": machine.accelerator,
                "capacity": [{"market": "spot", "machineType": machine.name, "max": 1, "zones": ["somewhere"]}],
            }
        )
        planned = plan_node_pools(pool, ["somewhere"], 32)[0]
        assert planned.machine.accelerator_label, machine.name


def test_nodes_stream_images_and_are_shielded() -> None:
    config = node_pool(SPOT)["nodeConfig"]
    assert config["gcfsConfig"]["enabled"] is True
    assert config["gvnic"]["enabled"] is True
    assert config["shieldedInstanceConfig"]["enableSecureBoot"] is True
    assert config["workloadMetadataConfig"]["mode"] == "GKE_METADATA"
    assert config["resourceLabels"] == LABELS
    assert config["kubeletConfig"]["insecureKubeletReadonlyPortEnabled"] == "FALSE"


def test_nodes_are_looked_for_where_the_machine_exists() -> None:
    machine = catalog.machine_type("gcp", "a3-highgpu-8g")
    assert machine.zones
    cluster = ["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"]
    recording = gpu_pool({**SPOT, "machine_type": machine.name}, accelerator="H100-80GB", args={"zones": cluster})
    zones = recording.one(POOL)["nodeLocations"]
    assert set(zones) == set(cluster) & set(machine.zones)
    assert set(zones) < set(cluster)


LONGEST = "p" * 20


@pytest.mark.parametrize("market", sorted(GCP.markets))
def test_node_pool_names_are_names_that_gke_takes(market: Market) -> None:
    entry = {"market": market, "machineType": "g2-standard-12", "max": 1, "zones": ["somewhere"]}
    pool = GcpPoolSpec.model_validate({"name": LONGEST, "accelerator": "L4", "capacity": [entry]})
    name = plan_node_pools(pool, ["somewhere"], 32)[0].name
    assert len(name) <= 40
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)


def test_another_machine_is_another_pool_so_that_it_comes_before_the_old_one_goes() -> None:
    before, after = node_pool(SPOT), node_pool({**SPOT, "machine_type": "g2-standard-16"})
    assert before["name"] != after["name"]
    assert before.urn != after.urn


def test_what_can_change_in_place_does_not_make_a_new_pool() -> None:
    before = node_pool(SPOT)
    for change in ({"max": 9}, {"min": 1}, {"zones": ZONES[:1]}):
        assert node_pool({**SPOT, **change}).urn == before.urn
    assert node_pool(SPOT, labels={"tier": "gold"}).urn == before.urn


def test_another_order_of_preference_makes_no_new_pools() -> None:
    one, other = gpu_pool(SPOT, ON_DEMAND), gpu_pool(ON_DEMAND, SPOT)
    assert {r.urn for r in one} == {r.urn for r in other}
    assert priorities(one) == priorities(other)[::-1]


def test_the_same_machine_in_two_places_is_two_pools() -> None:
    recording = gpu_pool({**SPOT, "zones": ZONES[:1]}, {**SPOT, "zones": ZONES[1:]})
    assert len({pool["name"] for pool in recording.all(POOL)}) == 2


def test_provider_waits_long_enough_for_gpus() -> None:
    assert node_pool(SPOT).custom_timeouts["create"] == "60m"


@pytest.mark.parametrize(
    ("capacity", "settings", "path"),
    [
        ({**SPOT, "machine_type": "g2-standard-13"}, {}, "pool.capacity[0].machineType"),
        ({**SPOT, "market": "sport"}, {}, "pool.capacity[0].market"),
        ({**RESERVED, "reservation": None}, {}, "pool.capacity[0].reservation"),
        ({**SPOT, "max": 0}, {}, "pool.capacity[0].max"),
        ({**SPOT, "min": 5}, {}, "pool.capacity[0].min"),
        ({**FLEX_START, "min": 1}, {}, "pool.capacity[0].min"),
        (SPOT, {"accelerator": "L5"}, "pool.accelerator"),
        (SPOT, {"name": "autopilot"}, "pool.name"),
        (SPOT, {"name": "default"}, "pool.name"),
        (SPOT, {"diskGb": 1}, "pool.diskGb"),
        (SPOT, {"sharing": {"partition": "1g.5gb"}}, "pool.sharing.partition"),
        (SPOT, {"sharing": {"strategy": "mps", "clients": 2}}, "pool.sharing.strategy"),
    ],
)
def test_wrong_settings_are_refused_with_their_path(
    capacity: dict[str, Any], settings: dict[str, Any], path: str
) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        gpu_pool(capacity, **settings)
    assert path in [error["property_path"] for error in (caught.value.errors or [])]
