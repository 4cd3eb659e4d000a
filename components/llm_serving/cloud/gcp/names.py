"""Names and labels that this package gives to things in Google Cloud and on its nodes."""

import hashlib
import json
from typing import Any

COMPUTE_CLASS_LABEL = "cloud.google.com/compute-class"
GPU_TAINT = "nvidia.com/gpu"
GPU_PARTITION_LABEL = "cloud.google.com/gke-gpu-partition-size"
GPU_SHARING_LABEL = "cloud.google.com/gke-gpu-sharing-strategy"
GPU_CLIENTS_LABEL = "cloud.google.com/gke-max-shared-clients-per-gpu"

ACCOUNT_ID_LIMIT = 30
BUCKET_LIMIT = 63


def digest(value: Any, length: int = 6) -> str:
    """The first hexadecimal digits of a hash of plain data: the same for the same data, in every run."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def bounded(*parts: str, limit: int) -> str:
    """``parts`` joined by ``-``; where that is longer than ``limit``, its beginning and a hash of the whole."""
    name = "-".join(parts)
    if len(name) <= limit:
        return name
    tail = digest(name)
    return f"{name[: limit - len(tail) - 1].rstrip('-')}-{tail}"


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
