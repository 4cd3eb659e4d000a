"""Address slots: the three ranges that a node's cluster uses, and whether this machine uses them otherwise.

Two families of eight slots: the ranges that are usual for clusters, and below 198.18.0.0/15 (RFC 2544, for
benchmarks: never routed), for machines whose private network covers 10.0.0.0/8.
"""

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from local.cluster.errors import ClusterError

SLOTS = 16
_FAMILY = 8
ROUTE_PROTOCOL = "151"
"""Marks our routes, so that what a killed node left is told from a stranger's. Numbers from 32 on that iproute2
names nothing by are free for anybody (/etc/iproute2/rt_protos).
"""


@dataclass(frozen=True)
class AddressSlot:
    """The ranges of one cluster.

    Attributes:
        number: 0 to 15.
    """

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < SLOTS:
            raise ValueError(f"address slot {self.number}: there are 0 to {SLOTS - 1}")

    @property
    def link(self) -> IPv4Network:
        """Between the machine and the node."""
        first = "10.99" if self.number < _FAMILY else "198.18"
        return IPv4Network(f"{first}.{self.number % _FAMILY}.0/24")

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods on the node."""
        first = "10.244" if self.number < _FAMILY else "198.19"
        return IPv4Network(f"{first}.{self.number % _FAMILY}.0/24")

    @property
    def services(self) -> IPv4Network:
        """ClusterIPs."""
        if self.number < _FAMILY:
            return IPv4Network(f"10.96.{16 * self.number}.0/20")
        return IPv4Network(f"198.18.{128 + 16 * (self.number - _FAMILY)}.0/20")

    @property
    def ranges(self) -> tuple[IPv4Network, ...]:
        """All three."""
        return (self.link, self.services, self.pods)

    @property
    def node(self) -> IPv4Address:
        """The node, and the API server on it."""
        return self.link[1]

    @property
    def host(self) -> IPv4Address:
        """This machine as the node sees it."""
        return self.link[254]

    @property
    def kubernetes_service(self) -> IPv4Address:
        """The API server as pods see it: Service ``kubernetes``."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """Service ``kube-dns``."""
        return self.services[10]

    @property
    def link_name(self) -> str:
        """The link's name on this machine."""
        return f"llmserving{self.number}"

    @property
    def cgroup(self) -> str:
        """The cgroup folder of its pods, below each controller's root."""
        return f"llm-serving-{self.number}"


SLOT_LINKS = {AddressSlot(number).link_name: number for number in range(SLOTS)}
"""The slot that a link of ours belongs to, by the link's name."""


@dataclass(frozen=True)
class Use:
    """A range that this machine uses, and how to name that to a person."""

    network: IPv4Network
    what: str


def uses() -> list[Use]:
    """Every route and address of this machine, without default routes and without ours.

    Raises:
        ClusterError: ``ip`` is missing or fails.
    """
    return [*addresses_in_use(_ip("address", "show")), *routes_in_use(_ip("route", "show", "table", "all"))]


def routes_in_use(routes: Iterable[dict[str, Any]]) -> list[Use]:
    """Uses out of the JSON of ``ip route``."""
    uses: list[Use] = []
    for route in routes:
        destination = str(route.get("dst", "default"))
        ours = str(route.get("protocol")) == ROUTE_PROTOCOL or route.get("dev") in SLOT_LINKS
        if destination == "default" or ours:
            continue
        through = f"dev {route['dev']}" if "dev" in route else str(route.get("type", ""))
        uses.append(Use(ipaddress.IPv4Network(destination, strict=False), f"route {destination} {through}".rstrip()))
    return uses


def addresses_in_use(links: Iterable[dict[str, Any]]) -> list[Use]:
    """Uses out of the JSON of ``ip address``."""
    return [
        Use(
            ipaddress.IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False),
            f"address {address['local']}/{address['prefixlen']} of {link['ifname']}",
        )
        for link in links
        if link["ifname"] not in SLOT_LINKS
        for address in link.get("addr_info", [])
        if address.get("family") == "inet"
    ]


def taken_by(slot: AddressSlot, used: Iterable[Use]) -> str | None:
    """What uses a range of the slot already; ``None`` where nothing does."""
    for use in used:
        for network in slot.ranges:
            if network.overlaps(use.network):
                return f"{network} overlaps {use.what}"
    return None


def choose(used: Iterable[Use], held: Iterable[int]) -> AddressSlot:
    """The first free slot.

    Args:
        used: see :func:`uses`.
        held: slots of other nodes.

    Raises:
        ClusterError: none is free; names what takes each.
    """
    everything, others = list(used), set(held)
    reasons: list[str] = []
    for number in range(SLOTS):
        slot = AddressSlot(number)
        reason = f"{slot.link_name} is there: another node runs" if number in others else taken_by(slot, everything)
        if reason is None:
            return slot
        reasons.append(f"    slot {number}: {reason}")
    lines = "\n".join(reasons)
    raise ClusterError(f"no address range is free for a local node; end another node or free a range:\n{lines}")


def _ip(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-json", "-4", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`ip -4 {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return json.loads(done.stdout or "[]")
