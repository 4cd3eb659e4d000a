"""What may connect to what: policies and pods, resolved to addresses and numbers.

The result says the same as the policies and knows nothing of labels or names; another module writes it in the
kernel's language.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from local.cluster.network_policy.model import Direction, Peer, Pod, Policy, Rule, Selector, Snapshot
from local.cluster.network_policy.ranges import ADDRESSES, PORTS, Ranges, contains, single, union


@dataclass(frozen=True, order=True)
class Allow:
    """Connections that are allowed.

    Attributes:
        addresses: of the other side.
        ports: by protocol, the ports that are connected to; empty for every port of every protocol.
    """

    addresses: Ranges
    ports: tuple[tuple[str, Ranges], ...] = ()

    def matches(self, address: int, protocol: str, port: int) -> bool:
        """A connection with the address is among them."""
        right = not self.ports or any(name == protocol and contains(numbers, port) for name, numbers in self.ports)
        return right and contains(self.addresses, address)


Allows = tuple[Allow, ...]
"""What an isolated pod may do; nothing where it is empty."""


@dataclass(frozen=True)
class Note:
    """Something that the author of a policy should hear of."""

    policy: Policy
    reason: str
    message: str


@dataclass(frozen=True)
class Rules:
    """Who may connect to whom.

    Attributes:
        pods: namespace and name of the pods by address.
        isolated: what the isolated pods are allowed, by direction and address. Other pods are open.
        guarded: addresses of the pods' range that no pod has are closed.
        notes: for the policies' authors.
    """

    pods: Mapping[int, str] = field(default_factory=dict)
    isolated: Mapping[Direction, Mapping[int, Allows]] = field(default_factory=dict)
    guarded: bool = True
    notes: tuple[Note, ...] = ()

    def verdict(self, source: int, target: int, protocol: str, port: int, pod_range: Ranges) -> bool:
        """Whether a new connection that the node routes is allowed.

        Args:
            source: address of who connects.
            target: address that is connected to, after the translation of Services.
            protocol: as in policies (``TCP``), or another name for protocols that policies do not know.
            port: port that is connected to.
            pod_range: the addresses of pods.
        """
        if source == target and source in self.pods:
            return True
        if self.guarded and any(contains(pod_range, a) and a not in self.pods for a in (source, target)):
            return False
        return all(
            allows is None or any(allow.matches(other, protocol, port) for allow in allows)
            for allows, other in (
                (self.isolated.get(Direction.EGRESS, {}).get(source), target),
                (self.isolated.get(Direction.INGRESS, {}).get(target), source),
            )
        )


def build(snapshot: Snapshot) -> Rules:
    """Resolve the policies.

    A direction of a pod is isolated when any policy that selects it is about that direction; what is allowed is
    the sum of all of them, unless one of them closes the direction.
    """
    isolated: dict[Direction, dict[int, list[Allow]]] = {direction: {} for direction in Direction}
    closed: set[tuple[Direction, int]] = set()
    notes: list[Note] = []
    for policy in snapshot.policies:
        pods = _selected(policy, snapshot)
        notes += [
            Note(policy, "NotUnderstood", f"{problem.message}; the policy's pods are closed: {_words(problem.closes)}")
            for problem in policy.problems
        ]
        for direction in Direction:
            if policy.closes(direction):
                closed.update((direction, pod.address) for pod in pods)
            if policy.closes(direction) or direction in policy.rules:
                for pod in pods:
                    isolated[direction].setdefault(pod.address, [])
            for rule in policy.rules.get(direction, ()):
                resolved = _ResolvedRule(rule, policy, direction, pods, snapshot)
                notes += resolved.notes()
                for pod in pods:
                    isolated[direction][pod.address] += resolved.allows(pod)
    return Rules(
        {pod.address: f"{pod.namespace}/{pod.name}" for pod in snapshot.pods},
        {
            direction: {
                address: () if (direction, address) in closed else _simplified(allows)
                for address, allows in by_address.items()
            }
            for direction, by_address in isolated.items()
        },
        guarded=bool(snapshot.policies),
        notes=tuple(notes),
    )


def _selected(policy: Policy, snapshot: Snapshot) -> list[Pod]:
    """The pods whose connections the policy is about."""
    return [pod for pod in snapshot.pods if pod.namespace == policy.namespace and policy.pods.matches(pod.labels)]


def _addresses(rule: Rule, policy: Policy, snapshot: Snapshot) -> Ranges:
    """The addresses that a rule allows."""
    if not rule.peers:
        return ADDRESSES
    return union(part for peer in rule.peers for part in _of_peer(peer, policy, snapshot))


def _of_peer(peer: Peer, policy: Policy, snapshot: Snapshot) -> Iterator[tuple[int, int]]:
    if peer.block is not None:
        yield from peer.block
        return
    pods = peer.pods or Selector()
    for pod in snapshot.pods:
        if _in_namespaces(pod, peer.namespaces, policy, snapshot) and pods.matches(pod.labels):
            yield pod.address, pod.address


def _in_namespaces(pod: Pod, namespaces: Selector | None, policy: Policy, snapshot: Snapshot) -> bool:
    if namespaces is None:
        return pod.namespace == policy.namespace
    labels = snapshot.namespaces.get(pod.namespace)
    return labels is not None and namespaces.matches(labels)  # of an unknown namespace no condition holds


class _ResolvedRule:
    """A rule of a policy, with the addresses behind its peers and the numbers behind its names."""

    def __init__(self, rule: Rule, policy: Policy, direction: Direction, pods: list[Pod], snapshot: Snapshot) -> None:
        self._rule = rule
        self._policy = policy
        self._direction = direction
        self._addresses = _addresses(rule, policy, snapshot)
        self._targets = pods
        """Pods that are connected to, on which names are looked up."""
        if direction is Direction.EGRESS:
            self._targets = [pod for pod in snapshot.pods if contains(self._addresses, pod.address)]
        self._names = [(port.port, port.protocol) for port in rule.ports if isinstance(port.port, str)]
        self._numbers = [
            (port.protocol, PORTS if port.port is None else ((port.port, port.end or port.port),))
            for port in rule.ports
            if not isinstance(port.port, str)
        ]

    def allows(self, pod: Pod) -> Iterator[Allow]:
        """What the rule allows a pod that the policy selects."""
        if not self._addresses:
            return
        if not self._rule.ports:
            yield Allow(self._addresses)
        if self._numbers:
            yield Allow(self._addresses, _grouped(self._numbers))
        for target in [pod] if self._direction is Direction.INGRESS else self._targets:
            named = [
                (protocol, single(target.ports[name, protocol]))
                for name, protocol in self._names
                if (name, protocol) in target.ports
            ]
            if named:
                peers = self._addresses if self._direction is Direction.INGRESS else single(target.address)
                yield Allow(peers, _grouped(named))

    def notes(self) -> Iterator[Note]:
        """Names that none of the pods has which it could mean: most likely misspelt."""
        for name, protocol in self._names:
            if self._targets and not any((name, protocol) in pod.ports for pod in self._targets):
                message = (
                    f"spec.{self._direction.value.lower()}: none of the pods that it could mean has a container port"
                    f" {name!r} ({protocol}): it allows nothing there"
                )
                yield Note(self._policy, "NamedPortNotFound", message)


def _words(directions: Iterable[Direction]) -> str:
    return " and ".join(sorted((direction.value for direction in directions), reverse=True))


def _grouped(ports: Iterable[tuple[str, Ranges]]) -> tuple[tuple[str, Ranges], ...]:
    by_protocol: dict[str, list[tuple[int, int]]] = {}
    for protocol, numbers in ports:
        by_protocol.setdefault(protocol, []).extend(numbers)
    return tuple((protocol, union(by_protocol[protocol])) for protocol in sorted(by_protocol))


def _simplified(allows: Iterable[Allow]) -> Allows:
    """The same in few words, and in one order: pods that are allowed the same share it."""
    by_ports: dict[tuple[tuple[str, Ranges], ...], list[tuple[int, int]]] = {}
    for allow in allows:
        by_ports.setdefault(allow.ports, []).extend(allow.addresses)
    by_addresses: dict[Ranges, list[tuple[tuple[str, Ranges], ...]]] = {}
    for ports, addresses in by_ports.items():
        by_addresses.setdefault(union(addresses), []).append(ports)
    return tuple(
        sorted(
            Allow(addresses, () if () in all_ports else _grouped(part for ports in all_ports for part in ports))
            for addresses, all_ports in by_addresses.items()
        )
    )
