"""The rules in nftables' language, and the program ``nft``, which puts them into the kernel: one table, replaced as a
whole.

A packet's way through the table: packets of connections that were allowed pass; a source address that is not
reached over the interface it came from is forged; then one look into a map by source (what may the sender do)
and one by target (who may reach the receiver). Pods that are allowed the same share a chain. A chain returns what
it allows and drops the rest.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from local.cluster.errors import ClusterError
from local.cluster.network_policy.model import Direction
from local.cluster.network_policy.ranges import ADDRESSES, PORTS, Ranges
from local.cluster.network_policy.rules import Allow, Allows, Rules

TABLE = "llm-serving-network-policy"
FAMILY = "inet"
"""Name and family of the table."""
_COMMENT = 100
"""nft takes comments of 128 bytes at most."""
_OTHER_SIDE = {Direction.INGRESS: "ip saddr", Direction.EGRESS: "ip daddr"}


def render(rules: Rules, pod_range: IPv4Network) -> str:
    """A program for ``nft -f -`` that puts the table in the place of the one that is there, in one step."""
    chains = {d: {allows: _name(d, allows) for allows in by.values()} for d, by in rules.isolated.items()}
    lines = [
        f"table {FAMILY} {TABLE}",  # deleting what is not there is an error
        f"delete table {FAMILY} {TABLE}",
        f"table {FAMILY} {TABLE} {{",
        *_set("pods", "ipv4_addr", {str(IPv4Address(a)): name for a, name in sorted(rules.pods.items())}),
        *_set(
            "itself", "ipv4_addr . ipv4_addr", {f"{IPv4Address(a)} . {IPv4Address(a)}": "" for a in sorted(rules.pods)}
        ),
    ]
    for direction in Direction:
        for allows, name in sorted(chains.get(direction, {}).items(), key=lambda item: item[1]):
            lines += [f"\tchain {name} {{", *(f"\t\t{line}" for line in _chain(direction, allows)), "\t}"]
        lines += _map(direction, rules, chains.get(direction, {}))
    lines += ["\tchain forward {", *(f"\t\t{line}" for line in _forward(rules, pod_range)), "\t}", "}"]
    return "\n".join(lines) + "\n"


def _forward(rules: Rules, pod_range: IPv4Network) -> Iterator[str]:
    yield "type filter hook forward priority filter; policy accept;"
    yield 'meta nfproto ipv4 fib saddr . iif oif missing counter drop comment "forged source"'
    yield "ct state established,related accept"
    yield "ip saddr . ip daddr @itself accept"
    if rules.guarded:
        yield "meta nfproto ipv6 counter drop"
        yield f'ip saddr {pod_range} ip saddr != @pods counter drop comment "no such pod yet"'
        yield f'ip daddr {pod_range} ip daddr != @pods counter drop comment "no such pod yet"'
    yield "ip saddr vmap @egress"
    yield "ip daddr vmap @ingress"


def _chain(direction: Direction, allows: Allows) -> Iterator[str]:
    for allow in allows:
        other = "" if allow.addresses == ADDRESSES else f"{_OTHER_SIDE[direction]} {_addresses(allow.addresses)} "
        for ports in _ports(allow):
            yield f"{other}{ports}return"
    yield "counter drop"


def _ports(allow: Allow) -> Iterator[str]:
    if not allow.ports:
        yield "meta nfproto ipv4 "
    for protocol, numbers in allow.ports:
        if numbers == PORTS:
            yield f"meta l4proto {protocol.lower()} "
        else:
            yield f"{protocol.lower()} dport {{ {', '.join(_text(*part) for part in numbers)} }} "


def _addresses(ranges: Ranges) -> str:
    return "{ " + ", ".join(_text(IPv4Address(first), IPv4Address(last)) for first, last in ranges) + " }"


def _text(first: object, last: object) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _name(direction: Direction, allows: Allows) -> str:
    return f"{direction.value.lower()}-{hashlib.sha256(repr(allows).encode()).hexdigest()[:12]}"


def _set(name: str, kind: str, elements: Mapping[str, str]) -> Iterator[str]:
    yield f"\tset {name} {{"
    yield f"\t\ttype {kind}"
    if elements:
        texts = [f"{key} {_comment(comment)}".rstrip() for key, comment in elements.items()]
        yield "\t\telements = { " + ",\n\t\t\t".join(texts) + " }"
    yield "\t}"


def _map(direction: Direction, rules: Rules, chains: Mapping[Allows, str]) -> Iterator[str]:
    yield f"\tmap {direction.value.lower()} {{"
    yield "\t\ttype ipv4_addr : verdict"
    by_address = rules.isolated.get(direction, {})
    if by_address:
        texts = [
            f"{IPv4Address(address)} {_comment(rules.pods[address])} : jump {chains[allows]}"
            for address, allows in sorted(by_address.items())
        ]
        yield "\t\telements = { " + ",\n\t\t\t".join(texts) + " }"
    yield "\t}"


def _comment(text: str) -> str:
    return f'comment "{text[:_COMMENT]}"' if text else ""


class NftTable:
    """The table in the network namespace that this process runs in.

    Raises:
        ClusterError: the program is missing.
    """

    def __init__(self) -> None:
        # Administrators' programs are not on everybody's PATH.
        nft = shutil.which("nft", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        if nft is None:
            raise ClusterError("the program nft is missing: run `make setup-node` (Debian package nftables)")
        self._nft = nft

    def exists(self) -> bool:
        """The table is there."""
        return self._run("-t", "list", "table", FAMILY, TABLE).returncode == 0

    def apply(self, program: str) -> None:
        """Run a program of :func:`render`, in one step.

        Raises:
            ClusterError: nft refuses it; everything is as it was.
        """
        done = self._run("-f", "-", stdin=program)
        if done.returncode != 0:
            raise ClusterError(
                f"nft refuses the rules (status {done.returncode}): {done.stderr.strip() or 'no message'}\n"
                "  it needs root in the node's network namespace and a kernel with nf_tables, fib and conntrack"
            )

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._nft, *arguments], input=stdin, capture_output=True, text=True, check=False)
