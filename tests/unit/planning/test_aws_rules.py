"""What AWS would refuse, or do otherwise than its user thinks, is said before anything is made."""

from datetime import date
from ipaddress import IPv4Network

import pytest

from llm_serving import catalog
from llm_serving.planning.clouds import AWS
from llm_serving.planning.clouds.aws import repository_url
from llm_serving.planning.quota import gpu_quotas
from llm_serving.planning.rules import StackShape, check, notes
from llm_serving.planning.rules.aws.cluster import WARNING_DAYS
from llm_serving.planning.rules.aws.network import nodes_in_zone
from llm_serving.planning.rules.stack import AwsShape
from llm_serving.spec import Market, ModelSpec, TeamSpec
from llm_serving.spec.aws import AwsClusterSpec, AwsNetworkSpec, AwsPoolSpec, AwsRegistrySpec
from stacks.report.quotas import report_quotas
from stacks.settings import read_settings_file, resolve
from tests.unit.planning.builders import model, release
from tests.unit.stacks.settings_files import REPOSITORY

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
ADMINISTRATORS = [{"principal": "arn:aws:iam::111122223333:role/deployer"}]
ROLE = "arn:aws:iam::111122223333:role/readers"


def entry(**fields):
    return {"market": "on-demand", "machineType": "g6.12xlarge", "max": 2} | fields


def pool(name="l4", accelerator="L4", capacity=None, **fields):
    return AwsPoolSpec.model_validate(
        {"name": name, "accelerator": accelerator, "capacity": capacity or [entry()]} | fields
    )


def stack(pools=None, *, today=date(2026, 11, 29), cluster=None, network=None, **parts) -> StackShape:
    pools = pools or (pool(),)
    releases = [release(image={"repository": "acme/vllm", "tag": "1"})]
    spec = AwsClusterSpec.model_validate(
        {"name": "prod", "zones": ZONES, "administrators": ADMINISTRATORS} | (cluster or {})
    )
    shape = AwsShape(
        account="111122223333",
        network=AwsNetworkSpec.model_validate(network or {}),
        cluster=spec,
        pools=pools,
        registry=parts.pop("registry", AwsRegistrySpec()),
        labels=parts.pop("labels", {}),
    )
    defaults = {
        "cloud": AWS,
        "region": "us-east-1",
        "zones": spec.zones,
        "max_pods_per_node": spec.max_pods_per_node,
        "aws": shape,
        "pools": pools,
        "models": (model(),),
        "teams": (TeamSpec(name="search", viewers=(ROLE,)),),
        "releases": {(each.name, each.version): each for each in releases},
        "weights": "external",
        "today": today,
    }
    return StackShape(**(defaults | parts))


def paths(shape: StackShape) -> list[str]:
    return [problem.path for problem in check(shape)]


def noted(shape: StackShape) -> dict[str, str]:
    assert not check(shape)
    return {note.path: note.reason for note in notes(shape)}


def test_a_stack_on_eks_obeys_every_rule() -> None:
    assert not check(stack())


def test_the_end_of_standard_support_is_noted_ninety_days_before_and_after_it() -> None:
    end = catalog.eks_version("1.35").standard_until
    assert WARNING_DAYS == 90
    assert "cluster.version" not in noted(stack(today=date.fromordinal(end.toordinal() - 91)))
    assert str(end) in noted(stack(today=date.fromordinal(end.toordinal() - 90)))["cluster.version"]
    assert "ended" in noted(stack(today=date.fromordinal(end.toordinal() + 1)))["cluster.version"]


def test_a_version_that_eks_does_not_support_at_all_any_more_is_refused() -> None:
    end = catalog.eks_version("1.35").extended_until
    assert not check(stack(today=end))
    assert paths(stack(today=date.fromordinal(end.toordinal() + 1))) == ["cluster.version"]


def test_versions_of_eks_have_14_months_of_standard_and_12_more_of_extended_support() -> None:
    for version in catalog.eks_addon_versions():
        support = catalog.eks_version(version)
        assert (support.extended_until - support.standard_until).days in (365, 366)


def test_every_node_that_may_start_in_a_zone_is_counted_there() -> None:
    pools = (
        pool(capacity=[entry(max=3, zones=["us-east-1a"]), entry(market="spot", max=5)]),
        pool("h100", "H100-80GB", [entry(machineType="p5.48xlarge", max=7, zones=["us-east-1b"])]),
    )
    shape = stack(pools)
    assert [nodes_in_zone(shape, zone) for zone in ZONES] == [8, 12, 5]


@pytest.mark.parametrize(
    ("network", "largest"),
    [
        # A zone has an eighth of the VPC, and nodes half of that: 507 addresses, of which each node with 32 pods takes
        # 1 + 3 prefixes of 16, and 4 nodes are no GPU nodes.
        ({"vpc": "10.0.0.0/19"}, 507 // 49 - 4),
        # Of their own range pods have an eighth: 1019.
        ({"vpc": "10.0.0.0/19", "pods": "100.64.0.0/19"}, 1019 // 48 - 4),
    ],
)
def test_a_network_holds_so_many_nodes_a_zone_and_no_more(network, largest) -> None:
    assert not check(stack((pool(capacity=[entry(max=largest)]),), network=network))
    refused = check(stack((pool(capacity=[entry(max=largest + 1)]),), network=network))
    (problem,) = refused
    larger = {**network, problem.path.removeprefix("network."): problem.suggestion}
    assert not check(stack((pool(capacity=[entry(max=largest + 1)]),), network=larger))
    assert IPv4Network(problem.suggestion).prefixlen == 18


def test_capacity_blocks_are_for_machines_that_ec2_sells_so() -> None:
    reserved = {"market": "capacity-block", "reservation": "cr-0123456789abcdef0", "zones": ["us-east-1a"]}
    h100 = pool("h100", "H100-80GB", [entry(machineType="p5.48xlarge", **reserved)])
    assert not check(stack((h100,), models=(model(pool="h100"),)))
    assert paths(stack((pool(capacity=[entry(**reserved)]),))) == ["pools[0].capacity[0].market"]


def test_a_machine_that_ec2_does_not_sell_as_spot_is_refused_as_spot(monkeypatch) -> None:
    """Every GPU machine of the catalog is sold so today."""
    machine = catalog.machine_type("aws", "g6.12xlarge").model_copy(update={"markets": frozenset({Market.ON_DEMAND})})
    monkeypatch.setattr(AWS, "machine", lambda entry: machine)
    (problem,) = check(stack((pool(capacity=[entry(market="spot")]),)))
    assert (problem.path, problem.suggestion.values) == ("pools[0].capacity[0].market", ("on-demand",))


def test_a_region_of_which_nothing_is_known_is_not_refused() -> None:
    shape = stack(cluster={"zones": ["us-gov-west-1a", "us-gov-west-1b"]}, region="us-gov-west-1")
    assert not check(shape)


def test_nodes_of_managed_groups_are_told_to_have_no_order() -> None:
    groups = pool(provisioner="node-group", capacity=[entry(min=2), entry(market="spot", min=2)])
    assert "no other entry stands in" in noted(stack((groups,)))["pools[0].capacity[1].market"]


def test_instances_of_several_nodes_are_told_of_efa() -> None:
    capacity = [entry(machineType="g6.12xlarge", zones=["us-east-1a"], max=4)]
    several = ModelSpec.model_validate(
        model().model_dump() | {"engine": {"nodes": 2}, "tensor_parallelism": 4, "pool": "l4"}
    )
    with_tcp = {note.path for note in notes(stack((pool(capacity=capacity),), models=(several,)))}
    with_efa = {note.path for note in notes(stack((pool(capacity=capacity, efa=True),), models=(several,)))}
    assert "pools[0].efa" in with_tcp - with_efa


def test_many_pods_on_small_nodes_are_noted() -> None:
    path = "cluster.maxPodsPerNode"
    assert path not in noted(stack(cluster={"maxPodsPerNode": 110}))
    assert "m7i.xlarge" in noted(stack(cluster={"maxPodsPerNode": 111}))[path]


def test_a_registry_of_another_region_is_noted_and_one_of_another_partition_refused() -> None:
    assert "registry.region" in noted(stack(registry=AwsRegistrySpec(region="eu-west-1")))
    assert paths(stack(registry=AwsRegistrySpec(region="cn-north-1"))) == ["registry.region"]


def test_a_registry_of_china_has_the_domain_of_china() -> None:
    assert repository_url("111122223333", "us-east-1", "hub") == "111122223333.dkr.ecr.us-east-1.amazonaws.com/hub"
    assert repository_url("111122223333", "cn-north-1", "hub") == (
        "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/hub"
    )


def test_capacity_that_is_reserved_needs_no_quota_on_aws_either() -> None:
    reserved = {"market": "capacity-block", "reservation": "cr-0123456789abcdef0"}
    pools = (
        pool("h100", "H100-80GB", [entry(machineType="p5.48xlarge", **reserved), entry(machineType="p5.48xlarge")]),
    )
    (quota,) = gpu_quotas(AWS, "us-east-1", pools)
    assert (quota.code, quota.unit, quota.amount) == ("L-417A185B", "vcpu", 2 * 192)


def test_labels_of_karpenter_and_eks_are_the_platforms() -> None:
    for key in ("karpenter.sh/nodepool", "karpenter.k8s.aws/ec2nodeclass", "eks.amazonaws.com/nodegroup"):
        assert paths(stack((pool(labels={key: "a"}),))) == [f"pools[0].labels.{key}"]


def test_an_exporter_of_the_stacks_own_runs_on_every_node_of_a_pool_on_eks() -> None:
    """Its pods ask for no GPU, so that they tolerate what keeps such pods away."""
    nodes = AWS.exporter_nodes(pool())
    assert nodes.node_selector == {"llm-serving.dev/pool": "l4"}
    assert {toleration.key for toleration in nodes.tolerations} == {"nvidia.com/gpu", "llm-serving.dev/market"}


def test_quotas_of_a_stack_on_aws_have_their_codes_and_count_its_system_nodes_too() -> None:
    stack = resolve(read_settings_file(REPOSITORY / "Pulumi.prod-aws.yaml"), "prod-aws")
    amounts = {quota.code: quota.amount for quota in report_quotas(stack).quotas}
    assert amounts == {"L-1216C47A": 3 * 3 * 8, "L-417A185B": 96 + 2 * 192, "L-7212CCBC": 96, "L-C4BD4855": 2 * 192}
