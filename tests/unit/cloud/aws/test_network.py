import json
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import yaml
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.aws import AwsNetwork
from tests.unit.cloud.aws.environment import EVERY_PART_OF_A_NETWORK as EVERYTHING
from tests.unit.cloud.aws.environment import OUTPUTS, PRIVATE_ENDPOINTS, REGION, ZONES, network
from tests.unit.recording import Recorded, Recording, record


def subnets(recording: Recording, kind: str) -> list[Recorded]:
    return [r for r in recording.all("ec2/subnet:Subnet") if r.name.startswith(f"network-{kind}-")]


def route_of(recording: Recording, subnet: Recorded) -> Recorded | None:
    """The route to the internet of a subnet's table."""
    (association,) = [
        r for r in recording.all("ec2/routeTableAssociation:RouteTableAssociation") if r["subnetId"] == subnet.name
    ]
    routes = [r for r in recording.all("ec2/route:Route") if r["routeTableId"] == association["routeTableId"]]
    return routes[0] if routes else None


def test_each_zone_has_subnets_of_its_own_and_none_overlap() -> None:
    recording = network(pods="100.64.0.0/16")
    ranges = [IPv4Network(subnet["cidrBlock"]) for subnet in recording.all("ec2/subnet:Subnet")]
    assert len(ranges) == 9
    assert not any(first.overlaps(second) for first, second in combinations(ranges, 2))
    for kind in ("nodes", "pods", "public"):
        assert [subnet["availabilityZone"] for subnet in subnets(recording, kind)] == ZONES


def test_no_instance_gets_a_public_address() -> None:
    assert {subnet["mapPublicIpOnLaunch"] for subnet in network(**EVERYTHING).all("ec2/subnet:Subnet")} == {False}


def test_karpenter_and_load_balancers_find_their_subnets() -> None:
    recording = network(pods="100.64.0.0/16")
    for subnet in subnets(recording, "nodes"):
        assert subnet["tags"]["karpenter.sh/discovery"] == "prod"
        assert subnet["tags"]["kubernetes.io/role/internal-elb"] == "1"
    assert [subnet["tags"]["kubernetes.io/role/elb"] for subnet in subnets(recording, "public")] == ["1"] * 3
    assert [subnet["tags"]["kubernetes.io/role/cni"] for subnet in subnets(recording, "pods")] == ["1"] * 3
    assert not [s for s in subnets(recording, "public") + subnets(recording, "pods") if DISCOVERY in s["tags"]]


DISCOVERY = "karpenter.sh/discovery"


def test_pods_wait_for_the_second_range() -> None:
    recording = network(pods="100.64.0.0/16")
    second = recording.one("VpcIpv4CidrBlockAssociation")
    assert second["cidrBlock"] == "100.64.0.0/16"
    assert all(recording.depends_on(subnet, second) for subnet in subnets(recording, "pods"))
    assert network().all("VpcIpv4CidrBlockAssociation") == []
    assert network().output("podSubnetIds") == []


@pytest.mark.parametrize("kind", ["nodes", "pods"])
def test_a_zone_uses_the_nat_gateway_of_its_own(kind: str) -> None:
    recording = network(pods="100.64.0.0/16")
    for subnet in subnets(recording, kind):
        route = route_of(recording, subnet)
        assert route is not None
        gateway = recording.one("NatGateway", route["natGatewayId"])
        assert recording.one("ec2/subnet:Subnet", gateway["subnetId"])["availabilityZone"] == subnet["availabilityZone"]
    assert len(recording.output("natAddresses")) == 3


def test_one_nat_gateway_serves_all_zones_on_request() -> None:
    recording = network(nat="one")
    assert len(recording.all("NatGateway")) == len(recording.all("Eip")) == 1
    routes = [route_of(recording, subnet) for subnet in subnets(recording, "nodes")]
    assert {route["natGatewayId"] for route in routes if route} == {"network-nat-us-east-1a"}
    assert len(routes) == 3


def test_without_nat_nothing_leads_to_the_internet() -> None:
    recording = network(nat="none", endpoints=PRIVATE_ENDPOINTS)
    for kind in ("InternetGateway", "NatGateway", "Eip", "ec2/route:Route"):
        assert recording.all(kind) == []
    assert recording.output("publicSubnetIds") == recording.output("natAddresses") == []


def test_without_nat_a_missing_endpoint_is_refused_with_those_that_would_do() -> None:
    with pytest.raises(InputPropertiesError) as caught:
        network(nat="none", endpoints=["ecr.api"])
    (error,) = caught.value.errors or []
    assert error["property_path"] == "endpoints"
    assert "ec2, ecr.dkr, eks, eks-auth, sqs, ssm, sts" in error["reason"]
    suggested = yaml.safe_load(error["reason"].partition("(try: ")[2].rstrip(")"))
    assert not network(nat="none", endpoints=suggested).warnings


def test_weights_never_pass_nat() -> None:
    recording = network(pods="100.64.0.0/16")
    endpoint = recording.one("VpcEndpoint", "network-s3")
    assert (endpoint["vpcEndpointType"], endpoint["serviceName"]) == ("Gateway", f"com.amazonaws.{REGION}.s3")
    private = {r.name for r in recording.all("RouteTable") if r.name.startswith("network-private-")}
    assert set(endpoint["routeTableIds"]) == private
    assert len(private) == 3


def test_interface_endpoints_answer_nodes_and_pods_alone_under_their_public_names() -> None:
    recording = network(**EVERYTHING)
    endpoints = [r for r in recording.all("VpcEndpoint") if r["vpcEndpointType"] == "Interface"]
    assert [r["serviceName"] for r in endpoints] == [
        f"com.amazonaws.{REGION}.{service}" for service in PRIVATE_ENDPOINTS
    ]
    assert all(r["privateDnsEnabled"] and len(r["subnetIds"]) == 3 for r in endpoints)
    (rule,) = recording.one("ec2/securityGroup:SecurityGroup")["ingress"]
    assert rule["cidrBlocks"] == ["10.0.0.0/16", "100.64.0.0/16"]
    assert (rule["protocol"], rule["fromPort"], rule["toPort"]) == ("tcp", 443, 443)
    vpc = recording.one("ec2/vpc:Vpc")
    assert vpc["enableDnsSupport"] is vpc["enableDnsHostnames"] is True


def test_the_default_security_group_lets_nothing_through() -> None:
    group = network().one("DefaultSecurityGroup")
    assert group["ingress"] == group["egress"] == []


def test_flow_logs_are_kept_as_long_as_is_said_and_written_by_nobody_else() -> None:
    recording = network(flow_log_days=14)
    group = recording.one("LogGroup")
    assert group["retentionInDays"] == 14
    log = recording.one("FlowLog")
    assert log["logDestination"] == group.outputs["arn"]
    assert log["trafficType"] == "ALL"
    assert recording.depends_on(log, recording.one("RolePolicy"))
    (statement,) = json.loads(recording.one("RolePolicy")["policy"])["Statement"]
    assert statement["Resource"] == [f"{group.outputs['arn']}:*"]
    trust = json.loads(recording.one("iam/role:Role")["assumeRolePolicy"])["Statement"][0]["Principal"]
    assert trust == {"Service": "vpc-flow-logs.amazonaws.com"}


def test_without_flow_logs_there_is_no_role_and_no_log_group() -> None:
    recording = network(flow_log_days=0)
    for kind in ("FlowLog", "LogGroup", "iam/role:Role"):
        assert recording.all(kind) == []


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"zones": ["us-east-1a"]}, "zones"),
        ({"zones": ["us-east-1a", "us-west-2a"]}, "zones[1]"),
        ({"vpc": "10.0.0.0/24"}, "vpc"),
        ({"vpc": "10.0.0.1/16"}, "vpc"),
        ({"pods": "10.0.0.0/18"}, "pods"),
        ({"services": "10.0.0.0/20"}, "services"),
        ({"nat": "two"}, "nat"),
        ({"flow_log_days": 8}, "flowLogDays"),
        ({"endpoints": ["ecr"]}, "endpoints[0]"),
        ({"endpoints": ["sts", "sts"]}, "endpoints[1]"),
        ({"zone": ["us-east-1a"]}, "zone"),
    ],
)
def test_a_mistake_is_refused_with_its_path(args: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        network(**args)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]


def test_every_part_belongs_to_the_component_and_bears_its_tags() -> None:
    recording = network(**EVERYTHING)
    component = recording.one("llm-serving:index:AwsNetwork")
    others = [r for r in recording if r is not component]
    assert {r.parent for r in others} == {component.urn}
    assert {r.inputs["tags"]["owner"] for r in others if "tags" in r.inputs} == {"platform"}
    taggable = {r.type for r in others} - {r.type for r in others if "tags" in r.inputs}
    assert {kind.rpartition(":")[2] for kind in taggable} == {
        "VpcIpv4CidrBlockAssociation", "Route", "RouteTableAssociation", "RolePolicy",
    }  # fmt: skip


def test_whoever_has_a_node_subnet_finds_the_ways_out_ready() -> None:
    def program() -> None:
        ours = AwsNetwork("network", {"region": REGION, "name": "prod", "zones": ZONES, "endpoints": ["sts"]})
        aws.ec2.Instance(
            "node", subnet_id=ours.node_subnet_ids.apply(lambda ids: ids[0]), opts=pulumi.ResourceOptions()
        )

    recording = record(program, outputs=OUTPUTS)
    node = recording.one(name="node")
    for kind, name in (
        ("ec2/route:Route", "network-private-us-east-1a"),
        ("ec2/route:Route", "network-public"),
        ("RouteTableAssociation", "network-nodes-us-east-1a"),
        ("NatGateway", "network-nat-us-east-1a"),
        ("VpcEndpoint", "network-sts"),
    ):
        assert recording.depends_on(node, recording.one(kind, name)), name
