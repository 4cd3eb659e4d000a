"""Names and labels that this package gives to things in Google Cloud and on its nodes."""

from llm_serving.cloud.bounded_names import bounded, digest

COMPUTE_CLASS_LABEL = "cloud.google.com/compute-class"
GPU_TAINT = "nvidia.com/gpu"
GPU_PARTITION_LABEL = "cloud.google.com/gke-gpu-partition-size"
GPU_SHARING_LABEL = "cloud.google.com/gke-gpu-sharing-strategy"
GPU_CLIENTS_LABEL = "cloud.google.com/gke-max-shared-clients-per-gpu"

ACCOUNT_ID_LIMIT = 30
BUCKET_LIMIT = 63


def account_id(cluster: str, *owner: str) -> str:
    """Id of the service account of one owner in a cluster: 6 to 30 characters, beginning with a letter (IAM
    documentation, "Create service accounts").

    All clusters and teams of a project share its ids, and ``-`` is a letter of every name: the hash tells apart what
    reads alike, such as team ``chat`` with model ``eu-qwen`` and team ``chat-eu`` with model ``qwen``.
    """
    tail = digest([cluster, *owner], length=8)
    return f"{'-'.join((cluster, *owner))[: ACCOUNT_ID_LIMIT - len(tail) - 1].rstrip('-')}-{tail}"


def node_account_id(cluster: str) -> str:
    """Id of the service account of a cluster's nodes. No other id of ours ends like it, and a change of it would make
    all nodes anew."""
    return bounded(cluster, "nodes", limit=ACCOUNT_ID_LIMIT)
