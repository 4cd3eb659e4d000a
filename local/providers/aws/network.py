"""The VPC and what is in it. EC2's records are moto's own."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from llm_serving.errors import Problem, nearest
from local.providers.aws import regions
from local.providers.aws.cloud import AwsError
from local.providers.aws.ec2 import Ec2Kind
from local.providers.aws.kinds import tag_list
from local.providers.properties import Properties


class Vpc(Ec2Kind):
    """A VPC; its main route table, its security group and its ACL come with it."""

    describe, ids, listed, noun = "describe_vpcs", "VpcIds", "Vpcs", "vpc"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A range, or a pool to draw it from."""
        if inputs.get("cidrBlock") is None and inputs.get("ipv4IpamPoolId") is None:
            return [Problem("cidrBlock", None, "required, unless ipv4IpamPoolId is given", "10.0.0.0/16")]
        return []

    def make(self, id: str, known: Properties) -> str:
        """Range first, then what can be changed."""
        made = self.ask(
            known, "create_vpc", CidrBlock=known.get("cidrBlock"), InstanceTenancy=known.get("instanceTenancy")
        )["Vpc"]["VpcId"]
        self.change(made, {}, known)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """EC2 takes one attribute at a time."""
        for name, default in (("enableDnsSupport", True), ("enableDnsHostnames", False)):
            value = known.get(name, default)
            self.ask(known, "modify_vpc_attribute", VpcId=id, **{name[:1].upper() + name[1:]: {"Value": value}})
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """With the ids of what came with it."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "cidrBlock": found["CidrBlock"],
            "dhcpOptionsId": found.get("DhcpOptionsId", "default"),
            "defaultSecurityGroupId": self._first(known, "security_groups", "SecurityGroups", "GroupId", id, "default"),
            "defaultNetworkAclId": self._first(known, "network_acls", "NetworkAcls", "NetworkAclId", id),
            "mainRouteTableId": (tables := self._first(known, "route_tables", "RouteTables", "RouteTableId", id)),
            "defaultRouteTableId": tables,
            "ipv6AssociationId": "",
        }

    def _first(
        self, known: Mapping[str, Any], what: str, listed: str, member: str, vpc: str, group: str | None = None
    ) -> str:
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        if group:
            filters.append({"Name": "group-name", "Values": [group]})
        if what == "route_tables":
            filters.append({"Name": "association.main", "Values": ["true"]})
        items = self.ask(known, f"describe_{what}", Filters=filters)[listed]
        return str(items[0][member]) if items else ""

    def unmake(self, id: str, outputs: Properties) -> None:
        """EC2 refuses while anything is in it; moto lets some of it pass."""
        filters = [{"Name": "vpc-id", "Values": [id]}]
        users = [
            *(item["SubnetId"] for item in self.ask(outputs, "describe_subnets", Filters=filters)["Subnets"]),
            *(
                item["GroupId"]
                for item in self.ask(outputs, "describe_security_groups", Filters=filters)["SecurityGroups"]
                if item["GroupName"] != "default"
            ),
        ]
        if users:
            raise AwsError(
                "ec2",
                "DeleteVpc",
                "DependencyViolation",
                f"The vpc '{id}' has dependencies and cannot be deleted: {', '.join(users[:3])}"
                f"{', ...' if len(users) > 3 else ''}",
            )
        self.ask(outputs, "delete_vpc", VpcId=id)


class SecondRange(Ec2Kind):
    """A second range of a VPC."""

    def make(self, id: str, known: Properties) -> str:
        """EC2 draws the id of the association."""
        answer = self.ask(known, "associate_vpc_cidr_block", VpcId=known["vpcId"], CidrBlock=known.get("cidrBlock"))
        return answer["CidrBlockAssociation"]["AssociationId"]

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among those of its VPC."""
        answer = self.look(known, "describe_vpcs", VpcIds=[known["vpcId"]])
        for vpc in (answer or {}).get("Vpcs", ()):
            for item in vpc.get("CidrBlockAssociationSet", ()):
                if item["AssociationId"] == id and item["CidrBlockState"]["State"] in ("associating", "associated"):
                    return {"cidrBlock": item["CidrBlock"]}
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Nothing of it changes."""

    def unmake(self, id: str, outputs: Properties) -> None:
        """Its subnets go first."""
        self.ask(outputs, "disassociate_vpc_cidr_block", AssociationId=id)


class Subnet(Ec2Kind):
    """A subnet of one zone."""

    describe, ids, listed, noun = "describe_subnets", "SubnetIds", "Subnets", "subnet"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A zone that the region has."""
        zone = inputs.get("availabilityZone")
        zones = regions.zones(inputs.get("region") or self.cloud.settings.get("region") or "")
        if isinstance(zone, str) and zones and zone not in zones:
            return [Problem("availabilityZone", zone, "not a zone of the region", nearest(zone, zones))]
        return []

    def make(self, id: str, known: Properties) -> str:
        """Range and zone, then what can be changed."""
        made = self.ask(
            known,
            "create_subnet",
            VpcId=known["vpcId"],
            CidrBlock=known.get("cidrBlock"),
            AvailabilityZone=known.get("availabilityZone"),
            AvailabilityZoneId=known.get("availabilityZoneId"),
        )["Subnet"]["SubnetId"]
        self.change(made, {}, known)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Public addresses of what starts in it."""
        public = {"Value": bool(known.get("mapPublicIpOnLaunch", False))}
        self.ask(known, "modify_subnet_attribute", SubnetId=id, MapPublicIpOnLaunch=public)
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """With the zone that EC2 chose."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "cidrBlock": found["CidrBlock"],
            "vpcId": found["VpcId"],
            "availabilityZone": found["AvailabilityZone"],
            "availabilityZoneId": found.get("AvailabilityZoneId", ""),
            "mapPublicIpOnLaunch": found.get("MapPublicIpOnLaunch", False),
            "privateDnsHostnameTypeOnLaunch": known.get("privateDnsHostnameTypeOnLaunch") or "ip-name",
            "ipv6CidrBlockAssociationId": "",
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """EC2 refuses while something has an address in it; moto does not look."""
        filters = [{"Name": "subnet-id", "Values": [id]}]
        interfaces = self.ask(outputs, "describe_network_interfaces", Filters=filters)["NetworkInterfaces"]
        if interfaces:
            raise AwsError(
                "ec2",
                "DeleteSubnet",
                "DependencyViolation",
                f"The subnet '{id}' has dependencies and cannot be deleted: network interface "
                f"{interfaces[0]['NetworkInterfaceId']} ({interfaces[0].get('Description') or 'of an instance'})",
            )
        self.ask(outputs, "delete_subnet", SubnetId=id)


class InternetGateway(Ec2Kind):
    """The way to the internet of a VPC."""

    describe, ids, listed = "describe_internet_gateways", "InternetGatewayIds", "InternetGateways"
    noun = "internet-gateway"

    def make(self, id: str, known: Properties) -> str:
        """Made by itself, then attached."""
        made = self.ask(known, "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        self.tag(known, made)
        if known.get("vpcId"):
            self.ask(known, "attach_internet_gateway", InternetGatewayId=made, VpcId=known["vpcId"])
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """It can move to another VPC."""
        attached, wanted = self._vpc(known, id), known.get("vpcId") or self._vpc(known, id)
        if attached != wanted:
            if attached:
                self.ask(known, "detach_internet_gateway", InternetGatewayId=id, VpcId=attached)
            self.ask(known, "attach_internet_gateway", InternetGatewayId=id, VpcId=wanted)
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """With the VPC that it is attached to."""
        if self.found(known, id) is None:
            return None
        return {**self.own_arn(known, id), "vpcId": self._vpc(known, id)}

    def unmake(self, id: str, outputs: Properties) -> None:
        """Detached first."""
        if vpc := self._vpc(outputs, id):
            self.ask(outputs, "detach_internet_gateway", InternetGatewayId=id, VpcId=vpc)
        self.ask(outputs, "delete_internet_gateway", InternetGatewayId=id)

    def _vpc(self, known: Mapping[str, Any], id: str) -> str:
        attachments = (self.found(known, id) or {}).get("Attachments") or ()
        return next((str(item["VpcId"]) for item in attachments), "")


class RouteTable(Ec2Kind):
    """A route table; routes that are given inside it are its own."""

    describe, ids, listed, noun = "describe_route_tables", "RouteTableIds", "RouteTables", "route-table"

    def make(self, id: str, known: Properties) -> str:
        """The table, then its routes."""
        made = self.ask(known, "create_route_table", VpcId=known["vpcId"])["RouteTable"]["RouteTableId"]
        self.change(made, {}, known)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Routes that are given are all that there are."""
        if known.get("routes") is not None:
            for route in outputs.get("routes") or ():
                self.ask(known, "delete_route", RouteTableId=id, **_destination(route))
            for route in known["routes"]:
                self.ask(known, "create_route", RouteTableId=id, **_destination(route), **_target(route))
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Without the routes that are resources of their own."""
        if self.found(known, id) is None:
            return None
        return {**self.own_arn(known, id), "routes": known.get("routes") or [], "propagatingVgws": []}

    def unmake(self, id: str, outputs: Properties) -> None:
        """EC2 refuses while a subnet uses it."""
        self.ask(outputs, "delete_route_table", RouteTableId=id)


_DESTINATIONS = {
    "cidrBlock": "DestinationCidrBlock",
    "destinationCidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
_TARGETS = (
    "gatewayId", "natGatewayId", "networkInterfaceId", "vpcPeeringConnectionId", "egressOnlyGatewayId",
    "transitGatewayId", "vpcEndpointId", "carrierGatewayId", "localGatewayId", "coreNetworkArn",
)  # fmt: skip


def _destination(route: Mapping[str, Any]) -> dict[str, str]:
    return {name: route[key] for key, name in _DESTINATIONS.items() if route.get(key)}


def _target(route: Mapping[str, Any]) -> dict[str, str]:
    names = {"egressOnlyGatewayId": "EgressOnlyInternetGatewayId"}
    return {names.get(key, key[:1].upper() + key[1:]): route[key] for key in _TARGETS if route.get(key)}


class Route(Ec2Kind):
    """One route of a table."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """One destination and one target."""
        problems: list[Problem] = []
        destinations = [key for key in _DESTINATIONS if inputs.get(key) is not None]
        if len(destinations) != 1:
            problems.append(
                Problem("destinationCidrBlock", None, "exactly one destination has to be given", "0.0.0.0/0")
            )
        targets = [key for key in _TARGETS if inputs.get(key) is not None]
        if len(targets) != 1:
            problems.append(
                Problem("gatewayId", None, f"exactly one of {', '.join(_TARGETS[:3])}, ... has to be given")
            )
        return problems

    def make(self, id: str, known: Properties) -> str:
        """Ids as the Terraform provider makes them: internal/service/ec2/vpc_route.go."""
        self.ask(known, "create_route", RouteTableId=known["routeTableId"], **_destination(known), **_target(known))
        destination = next(iter(_destination(known).values()))
        return f"r-{known['routeTableId']}{zlib.crc32(destination.encode())}"

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among those of its table."""
        answer = self.look(known, "describe_route_tables", RouteTableIds=[known["routeTableId"]])
        wanted = next(iter(_destination(known).values()), None)
        for table in (answer or {}).get("RouteTables", ()):
            for route in table.get("Routes", ()):
                if wanted in (route.get(name) for name in _DESTINATIONS.values()):
                    return {"state": route.get("State", "active"), "origin": route.get("Origin", "CreateRoute")}
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another target."""
        self.ask(known, "replace_route", RouteTableId=known["routeTableId"], **_destination(known), **_target(known))

    def unmake(self, id: str, outputs: Properties) -> None:
        """By its destination."""
        self.ask(outputs, "delete_route", RouteTableId=outputs["routeTableId"], **_destination(outputs))


class RouteTableAssociation(Ec2Kind):
    """A subnet that uses a table."""

    describe, filter, listed = "describe_route_tables", "association.route-table-association-id", "RouteTables"

    def make(self, id: str, known: Properties) -> str:
        """EC2 draws the id."""
        return self.ask(
            known,
            "associate_route_table",
            RouteTableId=known["routeTableId"],
            SubnetId=known.get("subnetId"),
            GatewayId=known.get("gatewayId"),
        )["AssociationId"]

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among those of the table."""
        answer = self.look(known, "describe_route_tables", RouteTableIds=[known["routeTableId"]])
        for table in (answer or {}).get("RouteTables", ()):
            if id in (item.get("RouteTableAssociationId") for item in table.get("Associations", ())):
                return {}
        return None

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Another table gives another id, which the provider keeps to itself: the association is made anew."""
        self.unmake(id, outputs)
        self.make(id, known)
        return {}

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """By subnet: the id may be an older one."""
        answer = self.look(outputs, "describe_route_tables", RouteTableIds=[outputs["routeTableId"]])
        subnets = [
            item.get("SubnetId") for table in (answer or {}).get("RouteTables", ()) for item in table["Associations"]
        ]
        return outputs if outputs.get("subnetId") in subnets else None

    def unmake(self, id: str, outputs: Properties) -> None:
        """By subnet: the id may be an older one."""
        answer = self.look(outputs, "describe_route_tables", RouteTableIds=[outputs["routeTableId"]])
        for table in (answer or {}).get("RouteTables", ()):
            for item in table.get("Associations", ()):
                if outputs.get("subnetId") and item.get("SubnetId") == outputs["subnetId"]:
                    self.ask(outputs, "disassociate_route_table", AssociationId=item["RouteTableAssociationId"])


class Address(Ec2Kind):
    """A public address that stays."""

    describe, ids, listed, noun = "describe_addresses", "AllocationIds", "Addresses", "elastic-ip"

    def make(self, id: str, known: Properties) -> str:
        """In a VPC, as all are today."""
        made = self.ask(known, "allocate_address", Domain="vpc")["AllocationId"]
        self.tag(known, made)
        return made

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """The address and its names."""
        found = self.found(known, id)
        if found is None:
            return None
        address, region = str(found["PublicIp"]), self.cloud.region(known)
        host = f"ec2-{address.replace('.', '-')}"
        suffix = "compute-1.amazonaws.com" if region == "us-east-1" else f"{region}.compute.amazonaws.com"
        return {
            **self.own_arn(known, id),
            "allocationId": id,
            "associationId": found.get("AssociationId", ""),
            "publicIp": address,
            "publicDns": f"{host}.{suffix}",
            "domain": "vpc",
            "networkBorderGroup": region,
            "publicIpv4Pool": "amazon",
            "privateIp": found.get("PrivateIpAddress", ""),
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """Not while a NAT gateway has it."""
        gateways = self.ask(outputs, "describe_nat_gateways")["NatGateways"]
        if any(
            address.get("AllocationId") == id
            for gateway in gateways
            if gateway["State"] not in ("deleted", "failed")
            for address in gateway.get("NatGatewayAddresses", ())
        ):
            raise AwsError(
                "ec2", "ReleaseAddress", "InvalidIPAddress.InUse", f"Address with allocation id {id} is in use"
            )
        self.ask(outputs, "release_address", AllocationId=id)


class NatGateway(Ec2Kind):
    """Translation of addresses for one zone, or for all."""

    describe, ids, listed, noun = "describe_nat_gateways", "NatGatewayIds", "NatGateways", "natgateway"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A public one has an address, a private one none."""
        private = inputs.get("connectivityType") == "private"
        if private and inputs.get("allocationId") is not None:
            return [Problem("allocationId", None, "cannot be given where connectivityType is private")]
        if not private and inputs.get("allocationId") is None and inputs.get("availabilityMode") != "regional":
            return [Problem("allocationId", None, "required where connectivityType is public")]
        return []

    def make(self, id: str, known: Properties) -> str:
        """In a subnet, with an address."""
        made = self.ask(
            known,
            "create_nat_gateway",
            SubnetId=known.get("subnetId"),
            AllocationId=known.get("allocationId"),
            ConnectivityType=known.get("connectivityType"),
        )["NatGateway"]["NatGatewayId"]
        self.tag(known, made)
        return made

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its addresses; one that is deleted is shown for an hour."""
        found = self.found(known, id)
        if found is None or found.get("State") in ("deleted", "deleting"):
            return None
        address = next(iter(found.get("NatGatewayAddresses") or ()), {})
        return {
            "publicIp": address.get("PublicIp", ""),
            "privateIp": address.get("PrivateIp", ""),
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "associationId": address.get("AssociationId", ""),
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """Its network interface goes with it, which moto forgets."""
        self.ask(outputs, "delete_nat_gateway", NatGatewayId=id)
        if outputs.get("networkInterfaceId"):
            self.look(outputs, "delete_network_interface", NetworkInterfaceId=outputs["networkInterfaceId"])


class Endpoint(Ec2Kind):
    """A way to a service of AWS that leaves the VPC's network nowhere."""

    describe, ids, listed, noun = "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints", "vpc-endpoint"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """What gateways and interfaces have."""
        kind = inputs.get("vpcEndpointType") or "Gateway"
        wrong = {"Gateway": ("subnetIds", "securityGroupIds", "privateDnsEnabled"), "Interface": ("routeTableIds",)}
        return [
            Problem(key, None, f"cannot be given where vpcEndpointType is {kind}")
            for key in wrong.get(str(kind), ())
            if inputs.get(key) not in (None, [], False)
        ]

    def refuse_create(self, id: str, known: Properties) -> None:
        """A service that the region has."""
        region, service = self.cloud.region(known), str(known.get("serviceName"))
        if not service.startswith((f"com.amazonaws.{region}.", "com.amazonaws.vpce.", "aws.")):
            raise AwsError(
                "ec2", "CreateVpcEndpoint", "InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist"
            )

    def make(self, id: str, known: Properties) -> str:
        """With routes or interfaces."""
        made = self.ask(
            known,
            "create_vpc_endpoint",
            VpcId=known["vpcId"],
            ServiceName=known.get("serviceName"),
            VpcEndpointType=known.get("vpcEndpointType") or "Gateway",
            PolicyDocument=known.get("policy"),
            RouteTableIds=known.get("routeTableIds"),
            SubnetIds=known.get("subnetIds"),
            SecurityGroupIds=known.get("securityGroupIds"),
            PrivateDnsEnabled=known.get("privateDnsEnabled"),
        )["VpcEndpoint"]["VpcEndpointId"]
        self.tag(known, made)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """What was added and what was removed."""
        found = self.found(known, id) or {}
        pairs = {
            "RouteTableIds": (found.get("RouteTableIds"), known.get("routeTableIds")),
            "SubnetIds": (found.get("SubnetIds"), known.get("subnetIds")),
        }
        parameters: dict[str, Any] = {}
        for name, (old, new) in pairs.items():
            if new is not None:
                added, removed = sorted({*new} - {*(old or ())}), sorted({*(old or ())} - {*new})
                parameters |= {f"Add{name}": added} if added else {}
                parameters |= {f"Remove{name}": removed} if removed else {}
        if known.get("policy"):
            parameters["PolicyDocument"] = known["policy"]
        if parameters:
            self.ask(known, "modify_vpc_endpoint", VpcEndpointId=id, **parameters)
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """What EC2 fills in."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "state": found.get("State", "available"),
            "policy": known.get("policy") or found.get("PolicyDocument") or "",
            "networkInterfaceIds": found.get("NetworkInterfaceIds", []),
            "routeTableIds": found.get("RouteTableIds", []),
            "subnetIds": found.get("SubnetIds", []),
            "securityGroupIds": known.get("securityGroupIds") or [],
            "privateDnsEnabled": bool(known.get("privateDnsEnabled")),
            "requesterManaged": False,
            "cidrBlocks": [],
            "dnsEntries": [
                {"dnsName": item.get("DnsName", ""), "hostedZoneId": item.get("HostedZoneId", "")}
                for item in found.get("DnsEntries", ())
            ],
            "prefixListId": regions.prefix_list_id(known.get("serviceName", ""))
            if (known.get("vpcEndpointType") or "Gateway") == "Gateway"
            else "",
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """Its interfaces go with it."""
        self.ask(outputs, "delete_vpc_endpoints", VpcEndpointIds=[id])


class FlowLog(Ec2Kind):
    """A log of what a network let pass."""

    describe, ids, listed, noun = "describe_flow_logs", "FlowLogIds", "FlowLogs", "vpc-flow-log"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """One thing that is watched."""
        keys = ("vpcId", "subnetId", "eniId", "transitGatewayId", "transitGatewayAttachmentId", "regionalNatGatewayId")
        if sum(inputs.get(key) is not None for key in keys) != 1:
            return [Problem("vpcId", None, f"exactly one of {', '.join(keys)} has to be given")]
        interval = inputs.get("maxAggregationInterval")
        if isinstance(interval, int) and interval not in (60, 600):
            return [Problem("maxAggregationInterval", interval, "neither 60 nor 600")]
        return []

    def make(self, id: str, known: Properties) -> str:
        """moto refuses some by itself, with a list in place of an error."""
        of = next((kind, known[key]) for key, kind in _WATCHED if known.get(key))
        answer = self.ask(
            known,
            "create_flow_logs",
            ResourceIds=[of[1]],
            ResourceType=of[0],
            TrafficType=known.get("trafficType"),
            LogDestinationType=known.get("logDestinationType") or "cloud-watch-logs",
            LogDestination=known.get("logDestination") if known.get("logDestinationType") == "s3" else None,
            LogGroupName=_log_group(known),
            DeliverLogsPermissionArn=known.get("iamRoleArn"),
            MaxAggregationInterval=known.get("maxAggregationInterval"),
            TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tag_list(tags)}]
            if (tags := self.cloud.tags(known))
            else None,
        )
        refused: Sequence[Mapping[str, Any]] = answer.get("Unsuccessful") or ()
        if refused:
            told = refused[0]["Error"]
            raise AwsError("ec2", "CreateFlowLogs", told["Code"], told["Message"])
        return answer["FlowLogIds"][0]

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """What EC2 fills in."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "logFormat": known.get("logFormat") or found.get("LogFormat", ""),
            "logDestination": known.get("logDestination") or "",
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """What it wrote stays."""
        self.ask(outputs, "delete_flow_logs", FlowLogIds=[id])


_WATCHED = (("vpcId", "VPC"), ("subnetId", "Subnet"), ("eniId", "NetworkInterface"))


def _log_group(known: Mapping[str, Any]) -> str | None:
    if (known.get("logDestinationType") or "cloud-watch-logs") != "cloud-watch-logs":
        return None
    return str(known.get("logDestination") or "").split(":log-group:")[-1].removesuffix(":*") or None
