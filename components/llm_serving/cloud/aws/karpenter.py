"""Karpenter as it is installed: charts, what they are told, and the events that it waits for."""

from collections.abc import Mapping
from typing import Any

from llm_serving.addons.addon import Chart

VERSION = "1.14.0"
"""The charts of a release name the image of that release by its digest: both are written into them when they are
published (``hack/release/common.sh`` of github.com/aws/karpenter-provider-aws; in the repository itself the charts of
v1.14.0 still name 1.13.0)."""

NAMESPACE = "kube-system"
"""Where its requests are exempt from the limits of API priority and fairness (Karpenter documentation, "Getting
started")."""
SERVICE_ACCOUNT = "karpenter"

DEFINITIONS = Chart("karpenter-crd", "oci://public.ecr.aws/karpenter/karpenter-crd", VERSION)
"""A chart of its own: Helm never updates the definitions in a chart's folder ``crds``."""
CONTROLLER = Chart("karpenter", "oci://public.ecr.aws/karpenter/karpenter", VERSION)

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "spot-interruption": {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]},
    "reservation-interruption": {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Capacity Reservation Instance Interruption Warning"],
    },
    "state-change": {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Instance State-change Notification"],
        "detail": {"state": ["stopping", "stopped", "shutting-down", "terminated"]},
    },
    "scheduled-change": {
        "source": ["aws.health"],
        "detail-type": ["AWS Health Event"],
        "detail": {"service": ["EC2"], "eventTypeCategory": ["scheduledChange"]},
    },
}
"""Patterns of EventBridge of what Karpenter acts on (``pkg/controllers/interruption`` of v1.14.0). It does nothing
about rebalance recommendations. A capacity block has no such event: Karpenter knows its end and drains before it."""

REPLICAS = 2


def values(cluster: str, endpoint: str, queue: str, isolated: bool) -> dict[str, Any]:
    """What the chart is told. By its defaults the two replicas run in two zones, on nodes that are not Karpenter's.

    Args:
        cluster: name of the cluster.
        endpoint: URL of its API.
        queue: name of the queue of notices.
        isolated: the network has no way to the internet, where the API of prices is.
    """
    return {
        "replicas": REPLICAS,
        "serviceAccount": {"name": SERVICE_ACCOUNT},
        "controller": {
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
        "settings": {
            "clusterName": cluster,
            "clusterEndpoint": endpoint,
            "interruptionQueue": queue,
            "isolatedVPC": isolated,
            # Instances spread over nodes where they can. Respected, that starts a machine for each pod, whatever room
            # others have: eight GPUs for one that asks for two.
            "preferencePolicy": "Ignore",
            "featureGates": {
                "reservedCapacity": True,
                # Alpha; each would start or end nodes in a way of its own.
                "nodeRepair": False,
                "nodeOverlay": False,
                "spotToSpotConsolidation": False,
                "staticCapacity": False,
                "capacityBuffer": False,
            },
        },
    }
