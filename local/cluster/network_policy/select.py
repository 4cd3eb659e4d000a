"""Which pods a policy is about, and who is on the other side of a rule."""

from collections.abc import Iterator

from local.cluster.network_policy.model import Peer, Pod, Policy, Rule, Selector, Snapshot
from local.cluster.network_policy.ranges import ADDRESSES, Ranges, union


def selected(policy: Policy, snapshot: Snapshot) -> list[Pod]:
    """The pods whose connections the policy is about."""
    return [pod for pod in snapshot.pods if pod.namespace == policy.namespace and policy.pods.matches(pod.labels)]


def addresses(rule: Rule, policy: Policy, snapshot: Snapshot) -> Ranges:
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
