"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class AwsControlPlaneAccessArgs(TypedDict):
    """Who reaches the Kubernetes API. Nodes and pods always reach it by an address inside the network."""

    mode: NotRequired[str]
    """`private` (from inside the network alone) or `authorized` (by a public address too, from some ranges)."""
    authorized: NotRequired[list[str]]
    """Ranges that may connect to the public address; needed by `authorized` and refused elsewhere."""


class AwsSystemPoolArgs(TypedDict):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster."""

    machine_type: NotRequired[str]
    """The cloud's name of the machine."""
    min: NotRequired[int]
    """Nodes a zone that are always there, in a managed node group: what makes other nodes runs on them."""
    max: NotRequired[int]
    """Most nodes a zone; those above `min` come from Karpenter with pods that find no room."""


class AwsAdministratorArgs(TypedDict):
    """Somebody who may do everything in the cluster."""

    principal: str
    """ARN of an IAM role or user."""


class AwsClusterSettingsArgs(TypedDict):
    """The cluster of one environment."""

    name: str
    """Fixed for the life of a stack."""
    zones: list[str]
    """Zones in which nodes may run, two at least."""
    version: NotRequired[str]
    """Kubernetes version, as in `1.35`: EKS changes it when this does, one minor version at a time."""
    access: NotRequired[AwsControlPlaneAccessArgs]
    """Who reaches the control plane."""
    administrators: NotRequired[list[AwsAdministratorArgs]]
    """Who may do everything in the cluster: the role that runs Pulumi, and people. Nobody else may, not even who made
    it."""
    log_types: NotRequired[list[str]]
    """What the control plane logs: `api`, `audit`, `authenticator`, `controllerManager`, `scheduler`."""
    max_pods_per_node: NotRequired[int]
    """Most pods on a node."""
    encrypt_secrets: NotRequired[bool]
    """Encrypt Kubernetes Secrets with a key of our own."""
    deletion_protection: NotRequired[bool]
    """Refuse to delete the cluster and its key; switching it off needs an `up` of its own."""
    system_pool: NotRequired[AwsSystemPoolArgs]
    """Nodes for everything that needs no GPU."""


class AwsModelCacheSettingsArgs(TypedDict):
    """Settings of the model cache."""

    noncurrent_days: NotRequired[int]
    """How long an overwritten or deleted version of an object is kept."""
    force_destroy: NotRequired[bool]
    """Let a destroy delete a bucket that still holds objects, and its key."""


class AwsCapacityArgs(TypedDict):
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


class AwsSharingArgs(TypedDict):
    """How several pods share each GPU of a pool: `partition`, or `strategy` with `clients`."""

    partition: NotRequired[str]
    """MIG profile of the instances into which every GPU is divided, one for each pod, for example `1g.10gb`."""
    strategy: NotRequired[str]
    """`time-sharing`: pods take turns on a whole GPU, and divide its memory."""
    clients: NotRequired[int]
    """Pods that share a GPU with `strategy`: 2 or more, on GKE at most 48."""


class AwsPoolArgs(TypedDict):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node."""

    name: str
    """Name of the pool, and the beginning of the names of its NodePools or node groups."""
    accelerator: str
    """The GPU's name in the catalog, for example `H100-80GB`."""
    capacity: list[AwsCapacityArgs]
    """What to use, most preferred first."""
    local_ssd: NotRequired[bool]
    """Use the machine's local SSD for caches; where the machine always has it if left out."""
    disk_gb: NotRequired[int]
    """Size of the boot disk in GB."""
    sharing: NotRequired[AwsSharingArgs]
    """How several pods share each GPU; a GPU is one pod's alone if left out."""
    labels: NotRequired[dict[str, str]]
    """More labels for the nodes."""
    idle_minutes: NotRequired[int]
    """How long a node stays after its last pod; 10 by default."""
    return_to_preferred: NotRequired[bool]
    """Move instances back as soon as more preferred capacity can be had, at the price of a cold start each; false by
    default."""
    provisioner: NotRequired[str]
    """Who adds and removes nodes: `karpenter`, or `node-group`, whose nodes are as many as each entry's `min`."""
    node_image: NotRequired[str]
    """What nodes start from: `al2023` or `bottlerocket`."""
    efa: NotRequired[bool]
    """Give nodes their EFA network interfaces, for instances of several nodes."""
