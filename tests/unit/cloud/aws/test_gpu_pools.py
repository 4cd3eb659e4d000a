import base64
import tomllib
from email import message_from_string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.errors import InputPropertiesError

from llm_serving import catalog
from llm_serving.cloud.aws.efa import network_interfaces
from llm_serving.cloud.aws.gpu_pools import plan_nodes
from llm_serving.spec.aws import AwsPoolSpec
from local.providers.schema import Sdk, check
from tests.unit.cloud.aws.environment import TAGS, ZONES
from tests.unit.cloud.aws.nodes import (
    BLOCK,
    EVERY_MARKET,
    H100,
    H100_BLOCK,
    H100_SPOT,
    NODE_CLASS,
    NODE_GROUP,
    NODE_GROUP_ROLE,
    NODE_POOL,
    ON_DEMAND,
    RESERVED,
    SPOT,
    TEMPLATE,
    gpu_pool,
    manifest,
    node_group,
)
from tests.unit.recording import Recorded, Recording
from tests.unit.serving.crds import assert_valid

MARKET = "spec.template.metadata.labels"


def market(node_pool: Recorded) -> str:
    return node_pool[MARKET]["llm-serving.dev/market"]


def requirements(node_pool: Recorded) -> dict[str, list[str]]:
    return {each["key"]: each["values"] for each in node_pool["spec.template.spec.requirements"]}


def class_of(recording: Recording, node_pool: Recorded) -> Recorded:
    name = node_pool["spec.template.spec.nodeClassRef.name"]
    (node_class,) = [r for r in recording.all(NODE_CLASS) if r["metadata.name"] == name]
    return node_class


def test_karpenter_takes_the_entries_in_the_order_of_preference() -> None:
    recording = gpu_pool(*EVERY_MARKET)
    by_weight = sorted(recording.all(NODE_POOL), key=lambda r: -r["spec.weight"])
    assert [market(r) for r in by_weight] == ["reservation", "capacity-block", "spot", "on-demand"]
    assert recording.output("nodePoolNames") == [r["metadata.name"] for r in by_weight]
    assert all(1 <= r["spec.weight"] <= 100 for r in by_weight)


@pytest.mark.parametrize("image", ["al2023", "bottlerocket"])
@pytest.mark.parametrize("efa", [True, False])
def test_karpenters_own_definitions_know_every_field(image: str, efa: bool) -> None:
    recording = gpu_pool(H100_BLOCK, H100_SPOT, node_image=image, efa=efa, **H100)
    for resource in recording.all(NODE_POOL):
        assert_valid(manifest(resource), "karpenter/karpenter.sh_nodepools.yaml")
    for resource in recording.all(NODE_CLASS):
        assert_valid(manifest(resource), "karpenter/karpenter.k8s.aws_ec2nodeclasses.yaml")


def test_an_entry_has_no_more_nodes_than_it_may() -> None:
    """Also of pods that come at once, for which Karpenter counts what its machines have: sixteen cores each."""
    limits = {market(r): r["spec.limits"] for r in gpu_pool(*EVERY_MARKET).all(NODE_POOL)}
    assert limits == {
        "reservation": {"nodes": "2", "cpu": "32"},
        "capacity-block": {"nodes": "1", "cpu": "16"},
        "spot": {"nodes": "4", "cpu": "64"},
        "on-demand": {"nodes": "2", "cpu": "32"},
    }


@pytest.mark.parametrize(
    ("entry", "capacity_type", "kind"),
    [(ON_DEMAND, "on-demand", None), (SPOT, "spot", None), (RESERVED, "reserved", "default"),
     (BLOCK, "reserved", "capacity-block")],
)  # fmt: skip
def test_nodes_are_bought_as_the_market_says(entry: dict[str, Any], capacity_type: str, kind: str | None) -> None:
    recording = gpu_pool(entry)
    node_pool = recording.one(NODE_POOL)
    wanted = requirements(node_pool)
    assert wanted["karpenter.sh/capacity-type"] == [capacity_type]
    assert wanted.get("karpenter.k8s.aws/capacity-reservation-type") == (None if kind is None else [kind])
    terms = class_of(recording, node_pool).get("spec.capacityReservationSelectorTerms")
    assert terms == ([{"id": entry["reservation"]}] if kind else None)


def test_pods_that_follow_the_contract_fit_every_node_of_the_pool() -> None:
    for recording in (gpu_pool(*EVERY_MARKET), node_group(*EVERY_MARKET)):
        contract = recording.output("scheduling")
        karpenter = [(r[MARKET], r["spec.template.spec.taints"]) for r in recording.all(NODE_POOL)]
        groups = [(r["labels"], r["taints"]) for r in recording.all(NODE_GROUP)]
        assert len(karpenter + groups) == 4
        for labels, taints in karpenter + groups:
            assert contract["nodeSelector"].items() <= labels.items()
            assert "nvidia.com/gpu" in {taint["key"] for taint in taints}
            for taint in taints:
                assert taint["effect"] in ("NoSchedule", "NO_SCHEDULE")
                assert any(
                    t["key"] == taint["key"] and (t["operator"] == "Exists" or t["value"] == taint["value"])
                    for t in contract["tolerations"]
                ), taint


def test_pods_tolerate_spot_only_where_the_pool_has_some() -> None:
    keys = {t["key"] for t in gpu_pool(ON_DEMAND).output("scheduling")["tolerations"]}
    assert keys == {"nvidia.com/gpu"}


def test_contract_names_no_label_of_the_cloud() -> None:
    contract = gpu_pool(*EVERY_MARKET).output("scheduling")
    assert set(contract["nodeSelector"]) == {"llm-serving.dev/pool"}
    assert contract["nonPreemptibleMarkets"] == ["reservation", "on-demand"]
    assert contract["spotNoticeSeconds"] == 120
    assert "spotNoticeSeconds" not in gpu_pool(ON_DEMAND).output("scheduling")


def test_nodes_go_only_when_they_are_empty_and_stay_as_long_as_was_asked_for() -> None:
    for node_pool in gpu_pool(idle_minutes=45).all(NODE_POOL):
        assert node_pool["spec.disruption.consolidationPolicy"] == "WhenEmpty"
        assert node_pool["spec.disruption.consolidateAfter"] == "45m"
        assert node_pool["spec.template.spec.expireAfter"] == "Never"


def test_instances_are_moved_to_preferred_capacity_only_on_request_and_one_node_at_a_time() -> None:
    for node_pool in gpu_pool(return_to_preferred=True).all(NODE_POOL):
        assert node_pool["spec.disruption.consolidationPolicy"] == "WhenEmptyOrUnderutilized"
        budgets = {reason: b["nodes"] for b in node_pool["spec.disruption.budgets"] for reason in b["reasons"]}
        assert budgets == {"Empty": "100%", "Drifted": "1", "Underutilized": "1"}


@pytest.mark.parametrize(("drain", "wait"), [(0, "3600s"), (600, "3600s"), (7200, "7200s")])
def test_a_node_waits_for_the_longest_drain(drain: int, wait: str) -> None:
    node_pool = gpu_pool(ON_DEMAND, args={"drain_seconds": drain}).one(NODE_POOL)
    assert node_pool["spec.template.spec.terminationGracePeriod"] == wait


def test_a_node_pool_goes_when_its_nodes_are_gone_and_its_class_after_it() -> None:
    recording = gpu_pool()
    for node_pool in recording.all(NODE_POOL):
        assert node_pool["metadata.annotations"]["pulumi.com/deletionPropagationPolicy"] == "foreground"
        assert recording.depends_on(node_pool, class_of(recording, node_pool))
        # An hour for the pods, and then the machine.
        assert int(node_pool.custom_timeouts["delete"].removesuffix("s")) > 3600


def test_pods_get_no_credentials_of_their_node() -> None:
    for node_class in gpu_pool().all(NODE_CLASS):
        options = node_class["spec.metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
    options = node_group().one(TEMPLATE)["metadataOptions"]
    assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)


@pytest.mark.parametrize(("image", "devices"), [("al2023", 1), ("bottlerocket", 2)])
def test_every_volume_is_encrypted_and_the_last_has_the_size_of_the_settings(image: str, devices: int) -> None:
    karpenter = gpu_pool(ON_DEMAND, disk_gb=300, node_image=image).one(NODE_CLASS)["spec.blockDeviceMappings"]
    group = node_group(disk_gb=300, node_image=image).one(TEMPLATE)["blockDeviceMappings"]
    assert len(karpenter) == len(group) == devices
    assert [v["deviceName"] for v in karpenter] == [v["deviceName"] for v in group]
    assert all(v["ebs"]["encrypted"] is True for v in karpenter)
    assert all(v["ebs"]["encrypted"] == "true" for v in group)
    assert karpenter[-1]["ebs"]["volumeSize"] == "280Gi"
    assert group[-1]["ebs"]["volumeSize"] == 280


def test_images_and_pods_are_on_local_ssd_where_planning_counts_on_it() -> None:
    for wanted in (True, False):
        recording = gpu_pool(ON_DEMAND, local_ssd=wanted)
        assert recording.one(NODE_CLASS).get("spec.instanceStorePolicy") == ("RAID0" if wanted else None)
        assert recording.output("scheduling")["localSsd"] is wanted


def test_each_image_is_pinned_to_one_release() -> None:
    for image in ("al2023", "bottlerocket"):
        (term,) = gpu_pool(ON_DEMAND, node_image=image).one(NODE_CLASS)["spec.amiSelectorTerms"]
        family, version = term["alias"].split("@")
        assert family == image
        assert version != "latest"


def test_nodes_are_in_the_zones_of_their_entry() -> None:
    entry = {**ON_DEMAND, "zones": [ZONES[0], ZONES[2]]}
    recording = gpu_pool(entry)
    assert requirements(recording.one(NODE_POOL))["topology.kubernetes.io/zone"] == entry["zones"]
    assert recording.one(NODE_CLASS)["spec.subnetSelectorTerms"] == [{"id": "subnet-0a"}, {"id": "subnet-0c"}]
    assert node_group(entry).one(NODE_GROUP)["subnetIds"] == ["subnet-0a", "subnet-0c"]


def test_nodes_that_work_together_are_in_one_zone_and_close_to_each_other() -> None:
    recording = gpu_pool(H100_BLOCK, H100_SPOT, efa=True, **H100)
    group = recording.one("ec2/placementGroup:PlacementGroup")
    assert group["strategy"] == "cluster"
    block, spot = recording.all(NODE_POOL)
    assert requirements(spot)["topology.kubernetes.io/zone"] == ZONES[:1]
    assert class_of(recording, spot)["spec.placementGroupSelector"] == {"name": group["name"]}
    # Next to whom a reservation is, is its own.
    assert class_of(recording, block).get("spec.placementGroupSelector") is None
    assert gpu_pool(H100_SPOT, **H100).all("PlacementGroup") == []


def test_a_node_has_one_address_and_all_interfaces_of_efa() -> None:
    interfaces = gpu_pool(H100_SPOT, efa=True, **H100).one(NODE_CLASS)["spec.networkInterfaces"]
    assert interfaces[0] == {"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"}
    assert {each["interfaceType"] for each in interfaces[1:]} == {"efa-only"}
    template = node_group(H100_SPOT, efa=True, **H100).one(TEMPLATE)["networkInterfaces"]
    assert [(t["networkCardIndex"], t["deviceIndex"], t["interfaceType"]) for t in template] == [
        (each["networkCardIndex"], each["deviceIndex"], each["interfaceType"]) for each in interfaces
    ]
    assert all(each["securityGroups"] == ["sg-0123"] for each in template)


def test_instances_of_several_nodes_are_told_of_as_many_devices_as_the_node_has() -> None:
    recording = gpu_pool(H100_SPOT, efa=True, **H100)
    (node_class,) = recording.all(NODE_CLASS)
    devices = [each for each in node_class["spec.networkInterfaces"] if each["interfaceType"] == "efa-only"]
    assert recording.output("scheduling")["networkDevices"] == {"vpc.amazonaws.com/efa": len(devices)}
    assert recording.output("scheduling")["networkDevices"]["vpc.amazonaws.com/efa"] == 32
    assert gpu_pool(H100_SPOT, **H100).output("scheduling")["networkDevices"] == {}


@pytest.mark.parametrize(
    "machine", [m for m in catalog.machine_types("aws") if m.efa_interfaces], ids=lambda machine: machine.name
)
def test_no_two_interfaces_are_the_same_device_and_each_card_has_one_of_efa_at_most(machine: Any) -> None:
    interfaces = network_interfaces(machine)
    assert len({(each.card, each.device) for each in interfaces}) == len(interfaces) == machine.efa_interfaces + 1
    cards = [each.card for each in interfaces if each.type == "efa-only"]
    assert len(set(cards)) == len(cards) == machine.efa_interfaces


def test_a_managed_node_group_has_as_many_nodes_as_the_entry_says() -> None:
    group = node_group(SPOT).one(NODE_GROUP)
    assert group["scalingConfig"] == {"desiredSize": 4, "minSize": 4, "maxSize": 4}
    assert group["capacityType"] == "SPOT"
    assert group["instanceTypes"] == ["g6.xlarge"]
    assert group["launchTemplate.version"] == "3"
    assert group["version"] == "1.35"
    assert group["nodeRoleArn"] == NODE_GROUP_ROLE


def test_a_pool_has_one_kind_of_provisioner() -> None:
    assert gpu_pool().all(NODE_GROUP) == gpu_pool().all(TEMPLATE) == []
    assert node_group().all(NODE_POOL) == node_group().all(NODE_CLASS) == []


def test_a_capacity_block_is_named_in_the_launch_template_with_its_machine() -> None:
    recording = node_group(BLOCK)
    template, group = recording.one(TEMPLATE), recording.one(NODE_GROUP)
    assert group["capacityType"] == "CAPACITY_BLOCK"
    assert group.get("instanceTypes") is None
    assert template["instanceType"] == BLOCK["machine_type"]
    assert template["instanceMarketOptions.marketType"] == "capacity-block"
    target = "capacityReservationSpecification.capacityReservationTarget.capacityReservationId"
    assert template[target] == BLOCK["reservation"]
    assert node_group(RESERVED).one(TEMPLATE)[target] == RESERVED["reservation"]
    assert node_group(RESERVED).one(NODE_GROUP)["capacityType"] == "ON_DEMAND"


def nodeadm(template: Recorded) -> dict[str, Any]:
    """The configuration in the user data, as a reader of MIME finds it."""
    message = message_from_string(base64.b64decode(template["userData"]).decode())
    (part,) = [part for part in message.walk() if not part.is_multipart()]
    assert part.get_content_type() == "application/node.eks.aws"
    return yaml.safe_load(str(part.get_payload()))


@pytest.mark.parametrize("image", ["al2023", "bottlerocket"])
def test_a_node_keeps_as_much_as_planning_says(image: str) -> None:
    machine = catalog.machine_type("aws", "g6.xlarge")
    kept = gpu_pool(ON_DEMAND, node_image=image).one(NODE_CLASS)["spec.kubelet"]
    template = node_group(node_image=image).one(TEMPLATE)
    if image == "al2023":
        assert nodeadm(template)["spec"]["kubelet"]["config"] == kept
    else:
        settings = tomllib.loads(base64.b64decode(template["userData"]).decode())["settings"]["kubernetes"]
        assert {"maxPods": settings["max-pods"], "kubeReserved": settings["kube-reserved"]} == kept
    reserved = kept["kubeReserved"]
    contract = gpu_pool(ON_DEMAND).output("scheduling")
    assert contract["nodeAllocatableCpu"] == machine.vcpus - int(reserved["cpu"].removesuffix("m")) / 1000
    # Karpenter takes its 7.5 % and 100 MiB for evictions off too.
    left = machine.memory_gib * 0.925 - (int(reserved["memory"].removesuffix("Mi")) + 100) / 1024
    assert contract["nodeAllocatableMemoryGib"] == pytest.approx(left, abs=0.001)


def test_amazon_linux_is_told_the_most_pods_and_what_to_do_with_local_ssd() -> None:
    spec = nodeadm(node_group(local_ssd=True).one(TEMPLATE))["spec"]
    assert spec["kubelet"]["config"]["maxPods"] == 32
    assert spec["instance"]["localStorage"]["strategy"] == "RAID0"
    assert "instance" not in nodeadm(node_group(local_ssd=False).one(TEMPLATE))["spec"]


def test_bottlerocket_is_told_the_same_and_how_gpus_are_shared() -> None:
    template = node_group(
        node_image="bottlerocket", local_ssd=True, sharing={"strategy": "time-sharing", "clients": 4}
    ).one(TEMPLATE)
    settings = tomllib.loads(base64.b64decode(template["userData"]).decode())["settings"]
    assert settings["kubernetes"]["max-pods"] == 32
    (commands,) = settings["bootstrap-commands"].values()
    assert ["apiclient", "ephemeral-storage", "init"] in commands["commands"]
    nvidia = settings["kubelet-device-plugins"]["nvidia"]
    assert nvidia["device-sharing-strategy"] == "time-slicing"
    assert nvidia["time-slicing"] == {"replicas": 4, "rename-by-default": False}


def test_nodes_whose_gpus_are_shared_choose_the_configuration_of_their_pool() -> None:
    recording = node_group(sharing={"strategy": "time-sharing", "clients": 4})
    assert recording.one(NODE_GROUP)["labels"]["nvidia.com/device-plugin.config"] == "l4"
    assert recording.output("scheduling")["gpusPerNode"] == 4
    assert "nvidia.com/device-plugin.config" not in node_group().one(NODE_GROUP)["labels"]


def refused(recording: Any) -> dict[str, str]:
    with pytest.raises(InputPropertiesError) as caught:
        recording()
    return {error["property_path"]: error["reason"] for error in caught.value.errors or []}


def test_gpus_are_not_shared_where_karpenter_would_count_whole_ones() -> None:
    sharing = {"strategy": "time-sharing", "clients": 4}
    reasons = refused(lambda: gpu_pool(sharing=sharing))
    assert list(reasons) == ["pool.provisioner"]
    assert "node-group" in reasons["pool.provisioner"]
    node_group(sharing=sharing)


def test_efa_on_a_machine_without_it_and_a_reservation_by_name_are_refused() -> None:
    assert "pool.efa" in refused(lambda: gpu_pool(ON_DEMAND, efa=True))
    assert "pool.capacity[0].zones" in refused(lambda: gpu_pool({**H100_SPOT, "zones": ZONES[:2]}, efa=True, **H100))
    assert "pool.capacity[0].reservation" in refused(lambda: gpu_pool({**RESERVED, "reservation": "ours"}))


def test_instances_of_mig_are_refused_with_another_way() -> None:
    entry = {"market": "on-demand", "machine_type": "p4d.24xlarge", "min": 1, "max": 1}
    a100: dict[str, Any] = {"name": "a100", "accelerator": "A100-40GB"}
    reasons = refused(lambda: node_group(entry, sharing={"partition": "1g.5gb"}, **a100))
    assert list(reasons) == ["pool.sharing.partition"]
    node_group(entry, sharing={"strategy": "time-sharing", "clients": 2}, **a100)


@pytest.mark.parametrize(
    ("args", "path"),
    [({"instance_profile": None}, "instanceProfile"), ({"zones": ["us-west-2a"]}, "zones[0]"), ({"zone": "a"}, "zone")],
)
def test_a_mistake_is_refused_with_its_path(args: dict[str, Any], path: str) -> None:
    assert path in refused(lambda: gpu_pool(args=args))


entries = st.sampled_from([SPOT, ON_DEMAND, RESERVED, BLOCK, {**SPOT, "machine_type": "g6.2xlarge"}])


@given(st.lists(entries, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_reordering_the_capacity_makes_no_other_nodes(capacity: list[dict[str, Any]], random: Any) -> None:
    shuffled = [*capacity]
    random.shuffle(shuffled)
    plans = [
        plan_nodes(AwsPoolSpec(name="l4", accelerator="L4", capacity=each), ZONES, 32)  # type: ignore[arg-type]
        for each in (capacity, shuffled)
    ]
    names = [[nodes.name for nodes in plan] for plan in plans]
    assert sorted(names[0]) == sorted(names[1])
    assert len(set(names[0])) == len(names[0])
    assert all(len(name) <= 63 for name in names[0])


def test_another_machine_is_another_name() -> None:
    (before,) = gpu_pool(ON_DEMAND).output("nodePoolNames")
    (after,) = gpu_pool({**ON_DEMAND, "machine_type": "g6.2xlarge"}).output("nodePoolNames")
    assert before != after
    assert gpu_pool({**ON_DEMAND, "max": 7}).output("nodePoolNames") == [before]


def test_what_costs_money_bears_the_tags() -> None:
    assert {tuple(r["spec.tags"].items()) for r in gpu_pool(H100_SPOT, efa=True, **H100).all(NODE_CLASS)} == {
        tuple(TAGS.items())
    }
    recording = node_group(H100_SPOT, efa=True, **H100)
    for specification in recording.one(TEMPLATE)["tagSpecifications"]:
        assert TAGS.items() <= specification["tags"].items()
    taggable = [r for r in recording if r.type.startswith("aws:")]
    assert len(taggable) == 3
    assert all(TAGS.items() <= r["tags"].items() for r in taggable)


def test_aws_sdk_knows_every_input_at_any_depth() -> None:
    sdk = Sdk("pulumi_aws")
    recordings = [
        gpu_pool(H100_SPOT, efa=True, **H100),
        node_group(H100_BLOCK, H100_SPOT, efa=True, **H100),
        node_group(*EVERY_MARKET, local_ssd=True),
    ]
    checked = [r for recording in recordings for r in recording if r.type.startswith("aws:")]
    for resource in checked:
        known = sdk.resource(resource.type)
        assert known is not None, resource.type
        mistakes, warnings = check(known.inputs, resource.inputs)
        assert (list(mistakes), list(warnings)) == ([], []), resource.urn
    assert {r.type for r in checked} == {
        "aws:ec2/placementGroup:PlacementGroup", "aws:ec2/launchTemplate:LaunchTemplate", "aws:eks/nodeGroup:NodeGroup",
    }  # fmt: skip


def test_contract_is_known_in_a_preview() -> None:
    assert gpu_pool(preview=True).output("scheduling")["gpusPerNode"] == 1


def test_objects_are_made_by_the_provider_of_the_cluster() -> None:
    recording = gpu_pool()
    provider = recording.one("pulumi:providers:kubernetes")
    assert all(r.provider.startswith(provider.urn) for r in (*recording.all(NODE_POOL), *recording.all(NODE_CLASS)))
