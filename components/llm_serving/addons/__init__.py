"""What a cluster needs before models scale and are watched: KEDA, Prometheus with its operator, LeaderWorkerSet."""

from llm_serving.addons.cluster_addons import ClusterAddons, ClusterAddonsArgs

__all__ = ["ClusterAddons", "ClusterAddonsArgs"]
