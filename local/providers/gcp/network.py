"""Subnets, addresses, firewall rules and NAT: what the Compute API computes and refuses about them."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.gcp.cloud import GoogleError
from local.providers.gcp.kinds import Kind
from local.providers.gcp.types import names, relative
from local.providers.properties import Properties
from local.providers.simulated.types import find, long_number

_SUBNET = "gcp:compute/subnetwork:Subnetwork"


class Subnetwork(Kind):
    """A subnet with its secondary ranges."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A subnet has a range, or the name of one that is reserved."""
        if inputs.get("ipCidrRange") is None and inputs.get("reservedInternalRange") is None:
            return [Problem("ipCidrRange", None, "required, unless reservedInternalRange is given")]
        return []

    def replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """The primary range grows in place; any other change replaces (customdiff IsShrinkageIpCidr)."""
        before, after = old.get("ipCidrRange"), new.get("ipCidrRange")
        if before == after or not isinstance(before, str) or not isinstance(after, str):
            return frozenset()
        grows = ipaddress.IPv4Network(before).subnet_of(ipaddress.IPv4Network(after))
        return frozenset() if grows else frozenset({"ipCidrRange"})

    def refuse_create(self, id: str, known: Properties) -> None:
        """Ranges of one network must not overlap."""
        self._no_overlap(id, known)

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """The gateway is the first address of the range."""
        return self._own(known)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """As in :meth:`create`."""
        self._no_overlap(id, known)
        return self._own(known)

    @staticmethod
    def _own(known: Properties) -> Properties:
        if not known.get("ipCidrRange"):
            return {}
        network = ipaddress.ip_network(known["ipCidrRange"])
        return {"gatewayAddress": str(network[1])}

    def _no_overlap(self, id: str, known: Properties) -> None:
        mine = _ranges(known)
        for index, (path, own) in enumerate(mine):
            for other_path, other in mine[index + 1 :]:
                if own.overlaps(other):
                    raise GoogleError(
                        400,
                        f"Invalid value for field 'resource.{other_path}': '{other}'. Range overlaps {path} of the "
                        "same subnetwork",
                        "invalid",
                    )
        for record in self.cloud.ready(_SUBNET):
            if record.id == id or not _same_network(record.inputs["network"], known["network"]):
                continue
            for other_path, other in _ranges(record.inputs):
                for path, own in mine:
                    if own.overlaps(other):
                        raise GoogleError(
                            400,
                            f"Invalid IPCidrRange: {own} of {path} conflicts with existing subnetwork "
                            f"'{record.id}', whose {other_path} is {other}",
                            "invalidIPCidrRange",
                        )


def _same_network(one: str, other: str) -> bool:
    return relative(one) == relative(other) or names(one, relative(other)) or names(other, relative(one))


def _ranges(inputs: Mapping[str, Any]) -> list[tuple[str, ipaddress.IPv4Network]]:
    blocks = [*find(inputs, "ipCidrRange"), *find(inputs, "secondaryIpRanges[*].ipCidrRange")]
    return [(path, ipaddress.IPv4Network(value)) for path, value in blocks]


class Address(Kind):
    """A reserved address."""

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Public addresses are drawn from a range of Google's, internal ones from the subnet or a private
        range.
        """
        if known.get("address"):
            return {}
        number = long_number(id)
        if known.get("addressType") == "INTERNAL":
            return {"address": f"10.128.{number % 250}.{2 + number // 250 % 250}"}
        return {"address": f"34.{64 + number % 60}.{number // 60 % 250}.{1 + number // 15000 % 250}"}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """The address stays."""
        return {"address": outputs["address"], "users": outputs.get("users", [])}


class Firewall(Kind):
    """A firewall rule."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Exactly one of allow and deny; incoming rules say from where."""
        problems: list[Problem] = []
        if (inputs.get("allows") is None) == (inputs.get("denies") is None):
            problems.append(Problem("allows", None, "exactly one of allows and denies has to be given"))
        sources = ("sourceRanges", "sourceTags", "sourceServiceAccounts")
        if inputs.get("direction", "INGRESS") == "INGRESS" and not any(inputs.get(key) for key in sources):
            problems.append(
                Problem(
                    "sourceRanges",
                    None,
                    "one of sourceRanges, sourceTags and sourceServiceAccounts has to be given for INGRESS",
                )
            )
        if inputs.get("direction") == "EGRESS":
            problems += [
                Problem(key, None, "cannot be given for EGRESS", "destinationRanges")
                for key in sources
                if inputs.get(key) is not None
            ]
        priority = inputs.get("priority")
        if isinstance(priority, int) and not 0 <= priority <= 65535:
            problems.append(Problem("priority", priority, "outside of 0 to 65535"))
        return problems


class RouterNat(Kind):
    """NAT of a router."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Addresses only by hand, and ports in powers of two where they are allotted as needed."""
        problems: list[Problem] = []
        option = inputs.get("natIpAllocateOption")
        if inputs.get("natIps") and option == "AUTO_ONLY":
            problems.append(Problem("natIps", None, "can be given only where natIpAllocateOption is MANUAL_ONLY"))
        listed = inputs.get("sourceSubnetworkIpRangesToNat") == "LIST_OF_SUBNETWORKS"
        if not listed and inputs.get("subnetworks"):
            problems.append(
                Problem(
                    "subnetworks",
                    None,
                    "can be given only where sourceSubnetworkIpRangesToNat is LIST_OF_SUBNETWORKS",
                )
            )
        dynamic = inputs.get("enableDynamicPortAllocation")
        if dynamic is True and inputs.get("enableEndpointIndependentMapping") is True:
            problems.append(
                Problem("enableEndpointIndependentMapping", True, "cannot be used with enableDynamicPortAllocation")
            )
        for key in ("minPortsPerVm", "maxPortsPerVm"):
            ports = inputs.get(key)
            if dynamic is True and isinstance(ports, int) and (ports < 32 or ports & (ports - 1)):
                problems.append(Problem(key, ports, "not a power of two of at least 32"))
        if inputs.get("maxPortsPerVm") is not None and dynamic is not True:
            problems.append(Problem("maxPortsPerVm", inputs["maxPortsPerVm"], "needs enableDynamicPortAllocation"))
        return problems
