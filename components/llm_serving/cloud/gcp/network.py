"""The private network of one environment.

Owns the VPC, its subnets and ranges, the way out (Cloud NAT), the way to Google's APIs that never leaves Google's
network, and the firewall. Leaves alone what GKE makes for itself (rules between control plane, nodes and pods, those of
load balancers) and what pods may reach: that is for network policies, which know pods.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp
from pydantic import Field

from llm_serving.addons import table
from llm_serving.cloud.checks import obey_rules
from llm_serving.cloud.gcp.arguments import NetworkRangesArgs
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import NetworkReach
from llm_serving.planning.clouds import GCP
from llm_serving.planning.clouds.gcp_subnets import MANAGED_SERVICES
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.spec.gcp import GcpNetworkSpec, ProjectId, Region
from llm_serving.spec.names import ClusterName

PODS_RANGE = "pods"
SERVICES_RANGE = "services"

PRIVATE_GOOGLE_APIS = "199.36.153.8/30"
PRIVATE_GOOGLE_ADDRESSES = ("199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11")
"""``private.googleapis.com`` (VPC documentation, "Configure Private Google Access")."""

GOOGLE_DOMAINS = ("googleapis.com", "pkg.dev")
"""What nodes and pods ask of Google: its APIs and container images."""

HEALTH_CHECK_SOURCES = ("130.211.0.0/22", "35.191.0.0/16")
"""Load balancers probe their back ends from here (Load Balancing documentation, "Health checks overview")."""

GKE_OPEN_PORTS = frozenset({443, 10250})
"""Ports of nodes and pods that GKE itself opens to the control plane (GKE documentation, "Automatically created
firewall rules", rule ``master``)."""

METADATA_SERVERS = ("169.254.169.254/32", "169.254.169.252/32")
METADATA_PORTS = (80, 987, 988)
"""Workload Identity answers pods on the first address, port 80, where Dataplane V2 enforces policies; elsewhere
policies see the second one, on the other ports (GKE documentation, "Authenticate to Google Cloud APIs from GKE
workloads", network policies)."""

CLOUD_DNS = "169.254.169.254/32"
"""Cloud DNS for GKE answers pods on this address (GKE documentation, "Using Cloud DNS for GKE"); without it the name
service is pods, and nobody asks here."""


class GcpNetworkArgs(TypedDict):
    """Arguments of GcpNetwork."""

    project: str
    """Id of the project."""
    region: str
    """Region of the subnets."""
    name: str
    """Name of the network; its parts begin with it."""
    ranges: NotRequired[NetworkRangesArgs]
    """Ranges of the network and how it meets the internet."""
    serving_ports: NotRequired[list[int]]
    """Ports of pods that gateways may reach; 8000 (inference engines) if left out."""


class GcpNetworkInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    region: Region
    name: ClusterName
    ranges: GcpNetworkSpec = GcpNetworkSpec()
    serving_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)] = (8000,)


class GcpNetwork(pulumi.ComponentResource):
    """A private network for one cluster: no machine in it has a public address."""

    network_id: pulumi.Output[str]
    """Id of the VPC network."""
    network_name: pulumi.Output[str]
    """Name of the VPC network."""
    subnet_id: pulumi.Output[str]
    """Id of the subnet of the nodes."""
    subnet_name: pulumi.Output[str]
    """Name of the subnet of the nodes."""
    pods_range_name: pulumi.Output[str]
    """Name of the subnet's secondary range for pods."""
    services_range_name: pulumi.Output[str]
    """Name of the subnet's secondary range for Services; empty where the cluster takes GKE's own range."""
    proxy_subnet_id: pulumi.Output[str]
    """Id of the subnet of the gateways' proxies."""
    reach: pulumi.Output[dict[str, Any]]
    """Ranges for network policies (contract `NetworkReach`)."""

    def __init__(self, name: str, args: GcpNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpNetworkInputs, args, "GcpNetwork", name)
        obey_rules(
            "GcpNetwork",
            name,
            {"network": "ranges"},
            cloud=GCP,
            region=inputs.region,
            gcp=GcpShape(network=inputs.ranges),
        )
        super().__init__(token("GcpNetwork"), name, None, opts)

        network = gcp.compute.Network(
            name,
            project=inputs.project,
            name=inputs.name,
            auto_create_subnetworks=False,
            routing_mode="REGIONAL",
            opts=child(self),
        )
        nodes = self._node_subnet(name, inputs, network)
        proxies = self._proxy_subnet(name, inputs, network)
        nat = self._cloud_nat(name, inputs, network, nodes)
        records = [record for domain in GOOGLE_DOMAINS for record in self._google_domain(name, inputs, network, domain)]
        rules = self._firewall(name, inputs, network)

        # Nodes start as soon as somebody has the subnet's id; without NAT, DNS and firewall they would not get far.
        ready = pulumi.Output.all(nodes.id, *[resource.id for resource in (nat, *records, *rules)])
        self.network_id = network.id
        self.network_name = network.name
        self.subnet_id = ready.apply(lambda ids: str(ids[0]))
        self.subnet_name = nodes.name
        self.pods_range_name = pulumi.Output.from_input(PODS_RANGE)
        self.services_range_name = pulumi.Output.from_input(
            SERVICES_RANGE if SERVICES_RANGE in secondary_ranges(inputs.ranges) else ""
        )
        self.proxy_subnet_id = proxies.id
        self.reach = pulumi.Output.from_input(network_reach(inputs.ranges).to_data())
        self.register_outputs(
            {
                "networkId": self.network_id,
                "networkName": self.network_name,
                "subnetId": self.subnet_id,
                "subnetName": self.subnet_name,
                "podsRangeName": self.pods_range_name,
                "servicesRangeName": self.services_range_name,
                "proxySubnetId": self.proxy_subnet_id,
                "reach": self.reach,
            }
        )

    def _node_subnet(self, name: str, inputs: GcpNetworkInputs, network: gcp.compute.Network) -> gcp.compute.Subnetwork:
        sampling = inputs.ranges.flow_log_sampling
        return gcp.compute.Subnetwork(
            f"{name}-nodes",
            project=inputs.project,
            region=inputs.region,
            name=f"{inputs.name}-nodes",
            network=network.id,
            ip_cidr_range=str(inputs.ranges.nodes),
            secondary_ip_ranges=[
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name=range_name, ip_cidr_range=str(network_range))
                for range_name, network_range in secondary_ranges(inputs.ranges).items()
            ],
            private_ip_google_access=True,
            log_config=gcp.compute.SubnetworkLogConfigArgs(
                aggregation_interval="INTERVAL_10_MIN",
                flow_sampling=sampling,
                metadata="INCLUDE_ALL_METADATA",
            )
            if sampling
            else None,
            opts=child(self),
        )

    def _proxy_subnet(
        self, name: str, inputs: GcpNetworkInputs, network: gcp.compute.Network
    ) -> gcp.compute.Subnetwork:
        return gcp.compute.Subnetwork(
            f"{name}-proxies",
            project=inputs.project,
            region=inputs.region,
            name=f"{inputs.name}-proxies",
            network=network.id,
            ip_cidr_range=str(inputs.ranges.proxies),
            purpose="REGIONAL_MANAGED_PROXY",
            role="ACTIVE",
            opts=child(self),
        )

    def _cloud_nat(
        self,
        name: str,
        inputs: GcpNetworkInputs,
        network: gcp.compute.Network,
        nodes: gcp.compute.Subnetwork,
    ) -> gcp.compute.RouterNat:
        router = gcp.compute.Router(
            f"{name}-router",
            project=inputs.project,
            region=inputs.region,
            name=f"{inputs.name}-router",
            network=network.id,
            opts=child(self),
        )
        addresses = [
            gcp.compute.Address(
                f"{name}-nat-{index}",
                project=inputs.project,
                region=inputs.region,
                name=f"{inputs.name}-nat-{index}",
                opts=child(self),
            )
            for index in range(inputs.ranges.nat_addresses)
        ]
        return gcp.compute.RouterNat(
            f"{name}-nat",
            project=inputs.project,
            region=inputs.region,
            name=f"{inputs.name}-nat",
            router=router.name,
            nat_ip_allocate_option="MANUAL_ONLY" if addresses else "AUTO_ONLY",
            # Computed by the provider where it is left out: back at 0, the addresses would stay in the request.
            nat_ips=[address.self_link for address in addresses],
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[
                gcp.compute.RouterNatSubnetworkArgs(name=nodes.self_link, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
            ],
            # All pods of a node share its ports, and downloads of weights open many connections at once.
            enable_dynamic_port_allocation=True,
            enable_endpoint_independent_mapping=False,
            min_ports_per_vm=64,
            max_ports_per_vm=8192,
            log_config=gcp.compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=child(self),
        )

    def _google_domain(
        self, name: str, inputs: GcpNetworkInputs, network: gcp.compute.Network, domain: str
    ) -> list[gcp.dns.RecordSet]:
        """Answer ``domain`` with the private addresses of Google's APIs: one small range, which network policies can
        name, instead of all of Google's public ones."""
        label = domain.replace(".", "-")
        zone = gcp.dns.ManagedZone(
            f"{name}-{label}",
            project=inputs.project,
            name=f"{inputs.name}-{label}",
            description=f"{domain} by way of Private Google Access",
            dns_name=f"{domain}.",
            visibility="private",
            private_visibility_config=gcp.dns.ManagedZonePrivateVisibilityConfigArgs(
                networks=[gcp.dns.ManagedZonePrivateVisibilityConfigNetworkArgs(network_url=network.id)]
            ),
            opts=child(self),
        )
        addresses = gcp.dns.RecordSet(
            f"{name}-{label}-addresses",
            project=inputs.project,
            managed_zone=zone.name,
            name=f"{domain}.",
            type="A",
            ttl=300,
            rrdatas=list(PRIVATE_GOOGLE_ADDRESSES),
            opts=child(self),
        )
        hosts = gcp.dns.RecordSet(
            f"{name}-{label}-hosts",
            project=inputs.project,
            managed_zone=zone.name,
            name=f"*.{domain}.",
            type="CNAME",
            ttl=300,
            rrdatas=[f"{domain}."],
            opts=child(self),
        )
        return [addresses, hosts]

    def _firewall(
        self, name: str, inputs: GcpNetworkInputs, network: gcp.compute.Network
    ) -> list[gcp.compute.Firewall]:
        """Gateways and their health checks reach the serving ports of pods, and the API server the webhooks and
        aggregated APIs of add-ons; nothing else comes in: no SSH either.

        A VPC refuses all other ingress anyway, but silently; the rule at the end says so in the logs.
        """
        gateways = gcp.compute.Firewall(
            f"{name}-gateways",
            project=inputs.project,
            name=f"{inputs.name}-gateways",
            description="Proxies of gateways and health checks reach the serving ports of pods",
            network=network.id,
            direction="INGRESS",
            priority=1000,
            source_ranges=list(_gateway_sources(inputs.ranges)),
            destination_ranges=[str(inputs.ranges.pods)],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(port) for port in inputs.serving_ports])],
            opts=child(self),
        )
        webhooks = gcp.compute.Firewall(
            f"{name}-webhooks",
            project=inputs.project,
            name=f"{inputs.name}-webhooks",
            description="The API server reaches webhooks and aggregated APIs of add-ons",
            network=network.id,
            direction="INGRESS",
            priority=1000,
            # Our control planes are joined by Private Service Connect: they have no range of their own
            # (masterIpv4CidrBlock), their endpoint is in the node subnet, and calls of webhooks arrive from the agents
            # on nodes, with the address of a pod (GKE documentation, "About Private Service Connect";
            # tigera/operator#5212). What GKE opens by itself leaves these ports out (kedacore/keda#1642).
            source_ranges=[str(inputs.ranges.nodes), str(inputs.ranges.pods)],
            destination_ranges=[str(inputs.ranges.pods)],
            allows=[
                gcp.compute.FirewallAllowArgs(
                    protocol="tcp", ports=[str(port) for port in sorted(table.control_plane_ports() - GKE_OPEN_PORTS)]
                )
            ],
            opts=child(self),
        )
        refusal = gcp.compute.Firewall(
            f"{name}-refusal",
            project=inputs.project,
            name=f"{inputs.name}-refusal",
            description="What no other rule lets in is refused, and logged",
            network=network.id,
            direction="INGRESS",
            priority=65534,
            source_ranges=["0.0.0.0/0"],
            denies=[gcp.compute.FirewallDenyArgs(protocol="all")],
            log_config=gcp.compute.FirewallLogConfigArgs(metadata="EXCLUDE_ALL_METADATA"),
            opts=child(self),
        )
        return [gateways, webhooks, refusal]


def secondary_ranges(ranges: GcpNetworkSpec) -> dict[str, IPv4Network]:
    """Secondary ranges of the node subnet by name. GKE's own range for Services is none of the subnet's."""
    own_services = {} if ranges.services == MANAGED_SERVICES else {SERVICES_RANGE: ranges.services}
    return {PODS_RANGE: ranges.pods, **own_services}


def network_reach(ranges: GcpNetworkSpec) -> NetworkReach:
    """Where pods of this network find Google's services, and from where gateways come."""
    return NetworkReach(
        identity_egress=METADATA_SERVERS,
        identity_ports=METADATA_PORTS,
        storage_egress=(PRIVATE_GOOGLE_APIS,),
        dns_egress=(CLOUD_DNS,),
        gateway_sources=tuple(_gateway_sources(ranges)),
    )


def _gateway_sources(ranges: GcpNetworkSpec) -> Sequence[str]:
    return (str(ranges.proxies), *HEALTH_CHECK_SOURCES)
