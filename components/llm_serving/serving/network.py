"""Who may reach the pods of a team: its own namespace, and the addresses from which clients come.

Leaves alone: what pods may reach themselves.
"""

from collections.abc import Sequence

from pulumi_kubernetes import meta, networking


def clients_only(sources: Sequence[str]) -> networking.v1.NetworkPolicySpecArgs:
    """A policy for every pod of a namespace: connections from the same namespace and from ``sources`` only.

    Args:
        sources: address ranges of clients (contract ``NetworkReach.gateway_sources``).
    """
    own = networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs())
    ranges = [
        networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr=source)) for source in sources
    ]
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(),
        policy_types=["Ingress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=[own, *ranges])],
    )
