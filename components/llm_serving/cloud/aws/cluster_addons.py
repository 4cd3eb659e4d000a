"""Amazon's add-ons of an EKS cluster: when each comes, as whom it runs, and how it is set up.

Versions are facts of the catalog (``eks_addons.csv``). Our own add-ons, which are charts, are ``llm_serving.addons``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIXES_ABOVE = 29
"""Pods on the smallest machine of the catalog (m7i.large) with addresses one by one: three interfaces of nine and two
on the host's network (github.com/awslabs/amazon-eks-ami, ``eni-max-pods.txt``). More need prefixes of sixteen."""


@dataclass(frozen=True)
class ClusterAddon:
    """One add-on.

    Attributes:
        name: as EKS calls it.
        before_nodes: nodes are not ready, or pods have no identity, without it; others need nodes to run on.
        service_account: the one that calls AWS, in ``kube-system``; ``None`` where none does.
        managed_policy: what it may do there, a policy that AWS keeps.
        configuration: what differs from the add-on's defaults.
    """

    name: str
    before_nodes: bool = False
    service_account: str | None = None
    managed_policy: str | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])


NAMESPACE = "kube-system"


def cluster_addons(max_pods_per_node: int) -> tuple[ClusterAddon, ...]:
    """The add-ons of a cluster, in the order in which they come."""
    return (
        ClusterAddon("eks-pod-identity-agent", before_nodes=True),
        ClusterAddon("kube-proxy", before_nodes=True),
        ClusterAddon(
            "vpc-cni",
            before_nodes=True,
            service_account="aws-node",
            managed_policy="AmazonEKS_CNI_Policy",
            configuration={
                # Without it nobody enforces a NetworkPolicy (EKS documentation, "Limit Pod traffic with Kubernetes
                # network policies").
                "enableNetworkPolicy": "true",
                "env": {
                    # Every node is in a private subnet: NAT translates addresses, and pods keep theirs until there.
                    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "true",
                    "ENABLE_PREFIX_DELEGATION": "true" if max_pods_per_node > PREFIXES_ABOVE else "false",
                },
            },
        ),
        ClusterAddon("coredns"),
        ClusterAddon("metrics-server"),
        ClusterAddon(
            "aws-ebs-csi-driver",
            service_account="ebs-csi-controller-sa",
            managed_policy="AmazonEBSCSIDriverPolicyV2",
            # Its class is gp3, and the default.
            configuration={"defaultStorageClass": {"enabled": True}},
        ),
        # It reads buckets as the pods that mount them (model_cache.py), and needs no role of its own. GPU nodes have
        # taints.
        ClusterAddon("aws-mountpoint-s3-csi-driver", configuration={"node": {"tolerateAllTaints": True}}),
    )
