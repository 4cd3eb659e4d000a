"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class ControlPlaneAccessArgs(TypedDict):
    """Who reaches the Kubernetes API."""

    mode: NotRequired[str]
    """`dns` (guarded by IAM), `authorized` (a public address for some ranges) or `private`."""
    authorized: NotRequired[list[str]]
    """Ranges that may connect to an address of the control plane."""


class MaintenanceExclusionArgs(TypedDict):
    """A time in which the cloud leaves the cluster as it is."""

    name: str
    """What it is for; unique in the cluster."""
    start: str
    """First moment, RFC 3339 in UTC."""
    end: str
    """Last moment, RFC 3339 in UTC."""
    scope: NotRequired[str]
    """What is left undone: `all` upgrades, `minor` versions, or `minor-and-nodes`."""


class MaintenanceWindowArgs(TypedDict):
    """When the cloud may upgrade the cluster."""

    start: NotRequired[str]
    """First start, RFC 3339 in UTC."""
    hours: NotRequired[int]
    """Length of one window."""
    recurrence: NotRequired[str]
    """RFC 5545 rule, for example `FREQ=WEEKLY;BYDAY=SA,SU`."""
    exclusions: NotRequired[list[MaintenanceExclusionArgs]]
    """Times in which nothing is upgraded although a window is open."""


class SystemPoolArgs(TypedDict):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster."""

    machine_type: NotRequired[str]
    """The cloud's name of the machine."""
    min: NotRequired[int]
    """Nodes a zone that the pool starts with and that stay. Where it grows later, nodes come with pods."""
    max: NotRequired[int]
    """Most nodes a zone."""


class ClusterArgs(TypedDict):
    """The cluster of one environment."""

    name: str
    """Fixed for the life of a stack."""
    regional: NotRequired[bool]
    """A control plane in several zones; `false` puts it into the first zone."""
    zones: list[str]
    """Zones in which nodes may run."""
    release_channel: NotRequired[str]
    """How early the cluster gets new Kubernetes versions: `rapid`, `regular`, `stable` or `extended`."""
    version: NotRequired[str]
    """Smallest Kubernetes version; the channel's default if left out."""
    access: NotRequired[ControlPlaneAccessArgs]
    """Who reaches the control plane."""
    security_group: NotRequired[str]
    """Group `gke-security-groups@<domain>` that contains the groups of teams; without it GKE looks up nobody's."""
    maintenance: NotRequired[MaintenanceWindowArgs]
    """When the cloud may upgrade."""
    max_pods_per_node: NotRequired[int]
    """Decides the size of each node's block of pod addresses."""
    encrypt_secrets: NotRequired[bool]
    """Encrypt Kubernetes Secrets with a key of our own."""
    deletion_protection: NotRequired[bool]
    """Refuse to delete the cluster and its key; switching it off needs an `up` of its own."""
    system_pool: NotRequired[SystemPoolArgs]
    """Nodes for everything that needs no GPU."""


class NetworkRangesArgs(TypedDict):
    """Ranges of the network and how it meets the internet. Ranges are fixed for the life of a stack."""

    nodes: NotRequired[str]
    """Primary range of the node subnet; one address a node."""
    pods: NotRequired[str]
    """Range from which every node gets a block for its pods."""
    services: NotRequired[str]
    """Range of the cluster's Services; `34.118.224.0/20` is GKE's own, which takes nothing of the network."""
    proxies: NotRequired[str]
    """Range of the proxies of regional gateways (proxy-only subnet, at least a /26)."""
    nat_addresses: NotRequired[int]
    """Fixed public addresses from which the network reaches the internet; 0 leaves the choice to the cloud."""
    flow_log_sampling: NotRequired[float]
    """Share of the node subnet's flows that is logged; 0 logs none."""


class ModelCacheArgs(TypedDict):
    """Settings of the model cache."""

    soft_delete_days: NotRequired[int]
    """How long deleted objects can be restored; 0, or 7 to 90."""
    noncurrent_days: NotRequired[int]
    """How long an overwritten version of an object is kept."""
    force_destroy: NotRequired[bool]
    """Let a destroy delete a bucket that still holds objects, and its key."""


class CapacityArgs(TypedDict):
    """One kind of capacity of a pool. Counts are nodes of the whole pool, not per zone."""

    market: str
    """On which terms: `on-demand`, `spot`, `reservation`, `flex-start` or `capacity-block`."""
    machine_type: str
    """The cloud's name of the machine."""
    min: NotRequired[int]
    """Nodes that stay once they are there; none is added to reach it."""
    max: int
    """Most nodes."""
    zones: NotRequired[list[str]]
    """Zones to look in; those of the cluster in which the machine exists if left out."""
    reservation: NotRequired[str]
    """Name of the reservation to consume."""


class SharingArgs(TypedDict):
    """How several pods share each GPU of a pool: `partition`, or `strategy` with `clients`."""

    partition: NotRequired[str]
    """MIG profile of the instances into which every GPU is divided, one for each pod, for example `1g.10gb`."""
    strategy: NotRequired[str]
    """`time-sharing`: pods take turns on a whole GPU, and divide its memory."""
    clients: NotRequired[int]
    """Pods that share a GPU with `strategy`: 2 or more, on GKE at most 48."""


class PoolArgs(TypedDict):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node."""

    name: str
    """Name of the pool and of the ComputeClass."""
    accelerator: str
    """The GPU's name in the catalog, for example `H100-80GB`."""
    capacity: list[CapacityArgs]
    """What to use, most preferred first."""
    local_ssd: NotRequired[bool]
    """Use the machine's local SSD for caches; where the machine always has it if left out."""
    disk_gb: NotRequired[int]
    """Size of the boot disk in GB."""
    sharing: NotRequired[SharingArgs]
    """How several pods share each GPU; a GPU is one pod's alone if left out."""
    labels: NotRequired[dict[str, str]]
    """More labels for the nodes."""
    idle_minutes: NotRequired[int]
    """How long a node stays after its last pod; 10 by default."""
    return_to_preferred: NotRequired[bool]
    """Move instances back as soon as more preferred capacity can be had, at the price of a cold start each; false by
    default."""
    spot_shutdown_seconds: NotRequired[int]
    """What a spot node takes from its notice to its end: 30 (the default) or 120, which needs GKE
    1.35.0-gke.1171000."""
