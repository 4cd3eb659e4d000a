"""NetworkPolicies, pods and namespaces as far as policies look at them, read from the API's objects.

Reading is strict: a field or a value that is not known here makes the policy close the direction that it may
matter for, and is noted as a :class:`PolicyProblem`. Nothing is decided here.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from llm_serving.planning.simulation.scheduling import requirement_holds
from local.cluster.network_policy.ranges import Ranges, union, without

Object = Mapping[str, Any]

PROTOCOLS = ("TCP", "UDP", "SCTP")
_ENDED = ("Succeeded", "Failed")


class Direction(Enum):
    """Seen from the pod that a policy selects."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


@dataclass(frozen=True)
class Requirement:
    """One condition on labels: ``In``, ``NotIn``, ``Exists`` or ``DoesNotExist``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The labels meet it. ``NotIn`` also holds where the label is missing."""
        return requirement_holds(self.operator, self.values, labels.get(self.key))


@dataclass(frozen=True)
class Selector:
    """Conditions that all have to hold; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """The labels meet every condition."""
        return all(requirement.matches(labels) for requirement in self.requirements)


@dataclass(frozen=True)
class Peer:
    """Who is on the other side: addresses, or pods by their labels and their namespace's.

    Attributes:
        pods: which pods; ``None`` for all of the namespaces.
        namespaces: which namespaces; ``None`` for the policy's own.
        block: addresses, in the place of both.
    """

    pods: Selector | None = None
    namespaces: Selector | None = None
    block: Ranges | None = None


@dataclass(frozen=True)
class Port:
    """A port that is connected to.

    Attributes:
        protocol: one of :data:`PROTOCOLS`.
        port: first number, or the name of a container's port; ``None`` for every port of the protocol.
        end: last number.
    """

    protocol: str
    port: int | str | None = None
    end: int | None = None


@dataclass(frozen=True)
class Rule:
    """Allows connections with any of the peers to any of the ports; no peers mean everybody, no ports everything."""

    peers: tuple[Peer, ...] = ()
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class PolicyProblem:
    """What is not understood in a policy, and the directions that it closes."""

    message: str
    closes: frozenset[Direction]


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy.

    Attributes:
        pods: which pods of its namespace it selects.
        rules: what it allows, for the directions that it is about.
        problems: what is not understood.
    """

    namespace: str
    name: str
    uid: str
    pods: Selector
    rules: Mapping[Direction, tuple[Rule, ...]]
    problems: tuple[PolicyProblem, ...] = ()

    def closes(self, direction: Direction) -> bool:
        """The direction is closed, whatever other policies allow."""
        return any(direction in problem.closes for problem in self.problems)


@dataclass(frozen=True)
class Pod:
    """A pod of the node that has an address of its own.

    Attributes:
        address: its IPv4 address as a number.
        ports: number of a container's port by name and protocol.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    address: int
    ports: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Snapshot:
    """What policies are about, at one moment.

    Attributes:
        namespaces: labels by name.
        pods: one an address.
    """

    namespaces: Mapping[str, Mapping[str, str]]
    pods: tuple[Pod, ...]
    policies: tuple[Policy, ...]

    @classmethod
    def read(cls, namespaces: Iterable[Object], pods: Iterable[Object], policies: Iterable[Object]) -> "Snapshot":
        """From the objects of the API; the pods are those of the node."""
        return cls(
            {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in namespaces},
            _pods(pods),
            tuple(sorted((policy(item) for item in policies), key=lambda p: (p.namespace, p.name))),
        )


class _NotUnderstoodError(ValueError):
    """A field or value that is not known here."""


def policy(item: Object) -> Policy:
    """Read a NetworkPolicy."""
    meta, spec = item["metadata"], item.get("spec") or {}
    problems: list[PolicyProblem] = []
    every = frozenset(Direction)
    selector = Selector()
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    try:
        _only(spec, "spec", "podSelector", "ingress", "egress", "policyTypes")
        selector = _selector(spec.get("podSelector") or {}, "spec.podSelector")
        for value in types:
            if value not in (direction.value for direction in Direction):
                raise _NotUnderstoodError(f"spec.policyTypes: {value!r} is not known")
    except _NotUnderstoodError as error:
        problems.append(PolicyProblem(str(error), every))
    rules: dict[Direction, tuple[Rule, ...]] = {}
    for direction in Direction:
        if direction.value not in types:
            continue
        section = direction.value.lower()
        try:
            entries = spec.get(section) or []
            rules[direction] = tuple(_rule(r, direction, f"spec.{section}[{i}]") for i, r in enumerate(entries))
        except _NotUnderstoodError as error:
            rules[direction] = ()
            problems.append(PolicyProblem(str(error), frozenset({direction})))
    return Policy(meta["namespace"], meta["name"], meta.get("uid", ""), selector, rules, tuple(problems))


def _rule(rule: Object, direction: Direction, path: str) -> Rule:
    side = "from" if direction is Direction.INGRESS else "to"
    _only(rule, path, side, "ports")
    return Rule(
        tuple(_peer(p, f"{path}.{side}[{i}]") for i, p in enumerate(rule.get(side) or [])),
        tuple(_port(p, f"{path}.ports[{i}]") for i, p in enumerate(rule.get("ports") or [])),
    )


def _peer(peer: Object, path: str) -> Peer:
    _only(peer, path, "podSelector", "namespaceSelector", "ipBlock")
    pods, namespaces, block = (peer.get(key) for key in ("podSelector", "namespaceSelector", "ipBlock"))
    if block is not None:
        if pods is not None or namespaces is not None:
            raise _NotUnderstoodError(f"{path}: ipBlock beside a selector is not known")
        return Peer(block=_block(block, f"{path}.ipBlock"))
    if pods is None and namespaces is None:
        raise _NotUnderstoodError(f"{path} has neither podSelector, namespaceSelector nor ipBlock")
    return Peer(
        None if pods is None else _selector(pods, f"{path}.podSelector"),
        None if namespaces is None else _selector(namespaces, f"{path}.namespaceSelector"),
    )


def _block(block: Object, path: str) -> Ranges:
    _only(block, path, "cidr", "except")
    excluded = [_network(cidr, f"{path}.except[{i}]") for i, cidr in enumerate(block.get("except") or [])]
    return without(_network(block.get("cidr"), f"{path}.cidr"), union(part for ranges in excluded for part in ranges))


def _network(cidr: Any, path: str) -> Ranges:
    """The addresses of a network; none of IPv6, which the node does not route."""
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError as error:
        raise _NotUnderstoodError(f"{path}: {error}") from None
    if isinstance(network, ipaddress.IPv6Network):
        return ()
    return ((int(network.network_address), int(network.broadcast_address)),)


def _port(port: Object, path: str) -> Port:
    _only(port, path, "protocol", "port", "endPort")
    protocol, number, end = port.get("protocol") or "TCP", port.get("port"), port.get("endPort")
    if protocol not in PROTOCOLS:
        raise _NotUnderstoodError(f"{path}.protocol: {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if isinstance(number, str) and number.isdecimal():
        raise _NotUnderstoodError(f"{path}.port: {number!r} is neither a number nor the name of a port")
    if end is not None and not (isinstance(number, int) and number <= end):
        raise _NotUnderstoodError(f"{path}.endPort: {end} needs a port that is a number and not above it")
    return Port(protocol, number, end)


def _selector(selector: Object, path: str) -> Selector:
    _only(selector, path, "matchLabels", "matchExpressions")
    labels = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    return Selector(
        (
            *(Requirement(key, "In", frozenset({value})) for key, value in labels.items()),
            *(_requirement(e, f"{path}.matchExpressions[{i}]") for i, e in enumerate(expressions)),
        )
    )


def _requirement(expression: Object, path: str) -> Requirement:
    _only(expression, path, "key", "operator", "values")
    operator = expression.get("operator")
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        raise _NotUnderstoodError(f"{path}.operator: {operator!r} is not known")
    return Requirement(expression["key"], operator, frozenset(expression.get("values") or []))


def _only(thing: Object, path: str, *known: str) -> None:
    unknown = sorted(thing.keys() - set(known))
    if unknown:
        raise _NotUnderstoodError(f"{path}.{unknown[0]} is not known; known are {', '.join(known)}")


# Pods


def _pods(items: Iterable[Object]) -> tuple[Pod, ...]:
    """One pod an address: while a pod is being deleted, its address may already be another's."""
    by_address: dict[int, Pod] = {}
    for item in sorted(items, key=_claim):
        addressed = pod(item)
        if addressed is not None:
            by_address[addressed.address] = addressed
    return tuple(by_address[address] for address in sorted(by_address))


def _claim(item: Object) -> tuple[bool, str, str]:
    """Who has the better claim to an address comes later."""
    meta = item["metadata"]
    return (not meta.get("deletionTimestamp"), meta.get("creationTimestamp") or "", meta.get("uid") or "")


def pod(item: Object) -> Pod | None:
    """Read a pod; ``None`` for what has no address of its own: not yet, no longer, or the node's."""
    meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in _ENDED:
        return None
    texts = [entry.get("ip") for entry in status.get("podIPs") or []] or [status.get("podIP")]
    addresses = [ipaddress.ip_address(text) for text in texts if text]
    address = next((a for a in addresses if isinstance(a, ipaddress.IPv4Address)), None)
    if address is None:
        return None
    return Pod(meta["namespace"], meta["name"], meta.get("labels") or {}, int(address), _container_ports(spec))


def _container_ports(spec: Object) -> dict[tuple[str, str], int]:
    """Named ports of the containers that run as long as the pod, sidecars included; the first of a name counts."""
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    ports: dict[tuple[str, str], int] = {}
    for container in [*(spec.get("containers") or []), *sidecars]:
        for port in container.get("ports") or []:
            if port.get("name"):
                ports.setdefault((port["name"], port.get("protocol") or "TCP"), port["containerPort"])
    return ports
