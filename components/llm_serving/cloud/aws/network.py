"""The private network of one environment.

Owns the VPC, its subnets in each zone, the way out (NAT) and the ways to AWS that never leave its network (endpoints),
and flow logs. Leaves alone the security groups of cluster and nodes, which EKS makes, load balancers, and what pods may
reach: that is for network policies, which know pods.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Literal, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pydantic import Field

from llm_serving.cloud.aws import policies
from llm_serving.cloud.aws.names import role_name
from llm_serving.cloud.aws.roles import role
from llm_serving.component import Frozen, after, child, to_input_errors, token, validated
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds.aws_subnets import ZoneSubnets, zone_subnets
from llm_serving.planning.rules.aws.endpoints import check_endpoints
from llm_serving.planning.rules.aws.network import check_ranges, check_zones
from llm_serving.spec.aws import Region
from llm_serving.spec.names import ClusterName
from llm_serving.spec.network import Cidr

DISCOVERY_TAG = "karpenter.sh/discovery"
"""By which Karpenter's node classes find the subnets of a cluster (Karpenter documentation, "NodeClasses")."""
INTERNAL_BALANCERS_TAG = "kubernetes.io/role/internal-elb"
PUBLIC_BALANCERS_TAG = "kubernetes.io/role/elb"
"""By which the load balancer controller finds subnets (EKS documentation, "Route internet traffic with AWS Load
Balancer Controller")."""
POD_SUBNETS_TAG = "kubernetes.io/role/cni"
"""By which the VPC CNI finds subnets for pods, with ``1``, and leaves those of nodes to nodes, with ``0`` (EKS
documentation, "Configure subnet selection for Pod IP addresses")."""

FLOW_SECONDS = 600
ANYWHERE = "0.0.0.0/0"


class AwsNetworkArgs(TypedDict):
    """Arguments of AwsNetwork."""

    region: str
    """Region of the network."""
    name: str
    """Name of the cluster that the network is for; names and tags of its parts begin with it."""
    zones: list[str]
    """Zones with subnets, two at least; one that is added later moves no subnet of the others."""
    vpc: NotRequired[str]
    """Range of the VPC, a /16 to /21: nodes, load balancers and, without `pods`, pods."""
    pods: NotRequired[str]
    """A second range of the VPC, a /16 to /21, from which pods have their addresses."""
    services: NotRequired[str]
    """Range of the cluster's Services, which must overlap no other."""
    nat: NotRequired[str]
    """How nodes reach the internet: by `one` NAT gateway, by one `per-zone`, or, with `none`, not at all."""
    endpoints: NotRequired[list[str]]
    """Services that are reached by an interface endpoint, for example `ecr.api`; S3 always has a gateway endpoint."""
    flow_log_days: NotRequired[int]
    """Days for which flow logs are kept; 0 makes none."""
    tags: NotRequired[dict[str, str]]
    """Tags of all parts."""


class AwsNetworkInputs(Frozen):
    """The validated arguments."""

    region: Region
    name: ClusterName
    zones: tuple[str, ...]
    vpc: Cidr = Field(default="10.0.0.0/16", validate_default=True)  # type: ignore[assignment]
    pods: Cidr | None = None
    services: Cidr = Field(default="172.20.0.0/16", validate_default=True)  # type: ignore[assignment]
    nat: Literal["none", "one", "per-zone"] = "per-zone"
    endpoints: tuple[str, ...] = ()
    flow_log_days: Literal[0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365] = 30
    tags: dict[str, str] = {}


class AwsNetwork(pulumi.ComponentResource):
    """A private network for one cluster: nothing in it has a public address but NAT gateways and load balancers."""

    vpc_id: pulumi.Output[str]
    """Id of the VPC."""
    node_subnet_ids: pulumi.Output[list[str]]
    """Ids of the private subnets, one a zone."""
    pod_subnet_ids: pulumi.Output[list[str]]
    """Ids of the subnets of pods, one a zone; empty where pods have addresses of the private subnets."""
    public_subnet_ids: pulumi.Output[list[str]]
    """Ids of the subnets of NAT gateways and load balancers, one a zone; empty without a way to the internet."""
    services_range: pulumi.Output[str]
    """Range of the cluster's Services."""
    nat_addresses: pulumi.Output[list[str]]
    """Public addresses from which the network reaches the internet."""

    def __init__(self, name: str, args: AwsNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsNetworkInputs, args, "AwsNetwork", name)
        problems = [
            *check_zones(inputs.region, inputs.zones),
            *check_ranges(inputs.vpc, inputs.services, inputs.pods),
            *check_endpoints(inputs.endpoints, inputs.nat != "none"),
        ]
        if problems:
            raise to_input_errors(ProblemsError(problems, f"AwsNetwork {name!r}"))
        super().__init__(token("AwsNetwork"), name, None, opts)
        self._prefix = inputs.name
        self._common_tags = inputs.tags
        plan = zone_subnets(inputs.zones, inputs.vpc, inputs.pods)

        vpc = self._vpc(name, inputs)
        of_nodes = {DISCOVERY_TAG: self._prefix, INTERNAL_BALANCERS_TAG: "1"}
        if inputs.pods is not None:
            # Else the first interface of a node gives pods its subnet's addresses too.
            of_nodes[POD_SUBNETS_TAG] = "0"
        nodes = [self._subnet(name, "nodes", zone.zone, zone.nodes, vpc.id, of_nodes) for zone in plan]
        pods = self._pod_subnets(name, inputs, plan, vpc)
        public, gateways, outward = self._way_out(name, inputs, plan, vpc)
        tables = self._private_routes(name, plan, vpc, nodes, pods, gateways)
        endpoints = self._endpoints(name, inputs, vpc, nodes, [table for table, _ in tables])
        self._flow_logs(name, inputs, vpc)

        # Nodes start as soon as somebody has a subnet's id; without routes and endpoints they would not get far.
        ready = pulumi.Output.all(
            *[resource.id for resource in (*outward, *endpoints)], *[part.id for _, parts in tables for part in parts]
        )
        self.vpc_id = vpc.id
        self.node_subnet_ids = after(ready, pulumi.Output.all(*[subnet.id for subnet in nodes]).apply(list))
        self.pod_subnet_ids = after(ready, pulumi.Output.all(*[subnet.id for subnet in pods]).apply(list))
        self.public_subnet_ids = after(ready, pulumi.Output.all(*[subnet.id for subnet in public]).apply(list))
        self.services_range = pulumi.Output.from_input(str(inputs.services))
        self.nat_addresses = pulumi.Output.all(*[gateway.public_ip for gateway in gateways]).apply(list)
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "nodeSubnetIds": self.node_subnet_ids,
                "podSubnetIds": self.pod_subnet_ids,
                "publicSubnetIds": self.public_subnet_ids,
                "servicesRange": self.services_range,
                "natAddresses": self.nat_addresses,
            }
        )

    def _tagged(self, part: str, more: dict[str, str] | None = None) -> dict[str, str]:
        return {**self._common_tags, "Name": f"{self._prefix}-{part}" if part else self._prefix, **(more or {})}

    def _vpc(self, name: str, inputs: AwsNetworkInputs) -> aws.ec2.Vpc:
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=str(inputs.vpc),
            # Private names of interface endpoints and nodes need both (EKS documentation, "VPC requirements").
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tagged(""),
            opts=child(self),
        )
        # It comes with the VPC and lets all of its members reach each other; whoever forgets to name a group gets it.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.id, ingress=[], egress=[], tags=self._tagged("default"), opts=child(self)
        )
        return vpc

    def _subnet(
        self,
        name: str,
        purpose: str,
        zone: str,
        network: IPv4Network | None,
        vpc_id: pulumi.Output[str],
        tags: dict[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> aws.ec2.Subnet:
        part = f"{purpose}-{zone}"
        return aws.ec2.Subnet(
            f"{name}-{part}",
            vpc_id=vpc_id,
            availability_zone=zone,
            cidr_block=str(network),
            map_public_ip_on_launch=False,
            tags=self._tagged(part, tags),
            opts=opts or child(self),
        )

    def _pod_subnets(
        self, name: str, inputs: AwsNetworkInputs, plan: Sequence[ZoneSubnets], vpc: aws.ec2.Vpc
    ) -> list[aws.ec2.Subnet]:
        if inputs.pods is None:
            return []
        second = aws.ec2.VpcIpv4CidrBlockAssociation(
            f"{name}-pods", vpc_id=vpc.id, cidr_block=str(inputs.pods), opts=child(self)
        )
        return [
            self._subnet(
                name,
                "pods",
                zone.zone,
                zone.pods,
                # The range is the VPC's only once it is associated.
                second.vpc_id,
                {POD_SUBNETS_TAG: "1"},
                child(self, depends_on=[second]),
            )
            for zone in plan
        ]

    def _way_out(
        self, name: str, inputs: AwsNetworkInputs, plan: Sequence[ZoneSubnets], vpc: aws.ec2.Vpc
    ) -> tuple[list[aws.ec2.Subnet], list[aws.ec2.NatGateway], list[pulumi.CustomResource]]:
        """Public subnets, NAT gateways, and what both need to work."""
        if inputs.nat == "none":
            return [], [], []
        internet = aws.ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, tags=self._tagged(""), opts=child(self))
        table = aws.ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, tags=self._tagged("public"), opts=child(self))
        route = aws.ec2.Route(
            f"{name}-public",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet.id,
            opts=child(self),
        )
        subnets = [
            self._subnet(name, "public", zone.zone, zone.public, vpc.id, {PUBLIC_BALANCERS_TAG: "1"}) for zone in plan
        ]
        associations = [
            aws.ec2.RouteTableAssociation(
                f"{name}-public-{zone.zone}", route_table_id=table.id, subnet_id=subnet.id, opts=child(self)
            )
            for zone, subnet in zip(plan, subnets, strict=True)
        ]
        count = len(plan) if inputs.nat == "per-zone" else 1
        gateways = [
            self._nat_gateway(name, zone, subnet, [internet, route])
            for zone, subnet in zip(plan[:count], subnets, strict=False)
        ]
        return subnets, gateways, [route, *associations]

    def _nat_gateway(
        self, name: str, zone: ZoneSubnets, subnet: aws.ec2.Subnet, outward: list[pulumi.Resource]
    ) -> aws.ec2.NatGateway:
        part = f"nat-{zone.zone}"
        # An address maps to an instance only in a VPC that has an internet gateway (EC2 API, ``AllocateAddress``).
        address = aws.ec2.Eip(
            f"{name}-{part}", domain="vpc", tags=self._tagged(part), opts=child(self, depends_on=outward)
        )
        return aws.ec2.NatGateway(
            f"{name}-{part}",
            subnet_id=subnet.id,
            allocation_id=address.allocation_id,
            tags=self._tagged(part),
            opts=child(self, depends_on=outward),
        )

    def _private_routes(
        self,
        name: str,
        plan: Sequence[ZoneSubnets],
        vpc: aws.ec2.Vpc,
        nodes: Sequence[aws.ec2.Subnet],
        pods: Sequence[aws.ec2.Subnet],
        gateways: Sequence[aws.ec2.NatGateway],
    ) -> list[tuple[aws.ec2.RouteTable, list[pulumi.CustomResource]]]:
        """A table a zone with its routes and associations: traffic to a NAT gateway of another zone costs money, and
        ends with that zone."""
        tables: list[tuple[aws.ec2.RouteTable, list[pulumi.CustomResource]]] = []
        for index, zone in enumerate(plan):
            label = f"{name}-private-{zone.zone}"
            table = aws.ec2.RouteTable(
                label, vpc_id=vpc.id, tags=self._tagged(f"private-{zone.zone}"), opts=child(self)
            )
            parts: list[pulumi.CustomResource] = [
                aws.ec2.RouteTableAssociation(
                    f"{name}-{kind}-{zone.zone}", route_table_id=table.id, subnet_id=subnets[index].id, opts=child(self)
                )
                for kind, subnets in (("nodes", nodes), ("pods", pods))
                if subnets
            ]
            if gateways:
                parts.append(
                    aws.ec2.Route(
                        label,
                        route_table_id=table.id,
                        destination_cidr_block=ANYWHERE,
                        nat_gateway_id=gateways[index if len(gateways) > 1 else 0].id,
                        opts=child(self),
                    )
                )
            tables.append((table, parts))
        return tables

    def _endpoints(
        self,
        name: str,
        inputs: AwsNetworkInputs,
        vpc: aws.ec2.Vpc,
        nodes: Sequence[aws.ec2.Subnet],
        tables: Sequence[aws.ec2.RouteTable],
    ) -> list[aws.ec2.VpcEndpoint]:
        """S3 by a gateway, which costs nothing, where NAT would charge for each GB of weights; others by interfaces."""
        storage = aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{inputs.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=self._tagged("s3"),
            opts=child(self),
        )
        if not inputs.endpoints:
            return [storage]
        group = aws.ec2.SecurityGroup(
            f"{name}-endpoints",
            vpc_id=vpc.id,
            description="Nodes and pods reach interface endpoints",
            ingress=[
                aws.ec2.SecurityGroupIngressArgs(
                    protocol="tcp",
                    from_port=443,
                    to_port=443,
                    cidr_blocks=[str(network) for network in (inputs.vpc, inputs.pods) if network is not None],
                )
            ],
            egress=[],
            tags=self._tagged("endpoints"),
            opts=child(self),
        )
        return [
            storage,
            *(
                aws.ec2.VpcEndpoint(
                    f"{name}-{service.replace('.', '-')}",
                    vpc_id=vpc.id,
                    service_name=f"com.amazonaws.{inputs.region}.{service}",
                    vpc_endpoint_type="Interface",
                    subnet_ids=[subnet.id for subnet in nodes],
                    security_group_ids=[group.id],
                    private_dns_enabled=True,
                    tags=self._tagged(service),
                    opts=child(self),
                )
                for service in inputs.endpoints
            ),
        ]

    def _flow_logs(self, name: str, inputs: AwsNetworkInputs, vpc: aws.ec2.Vpc) -> None:
        if not inputs.flow_log_days:
            return
        group = aws.cloudwatch.LogGroup(
            f"{name}-flows",
            name=f"/llm-serving/{inputs.name}/flows",
            retention_in_days=inputs.flow_log_days,
            tags=self._tagged("flows"),
            opts=child(self),
        )
        writer, rights = role(
            self,
            f"{name}-flows",
            role_name=role_name(inputs.region, inputs.name, "flow-logs"),
            trust=policies.trust_of_service("vpc-flow-logs.amazonaws.com"),
            policy=group.arn.apply(policies.write_flow_logs),
            tags=self._tagged("flows"),
        )
        aws.ec2.FlowLog(
            f"{name}-flows",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=writer.arn,
            max_aggregation_interval=FLOW_SECONDS,
            tags=self._tagged("flows"),
            opts=child(self, depends_on=rights),
        )
