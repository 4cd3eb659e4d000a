"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class TolerationArgs(TypedDict):
    """A toleration; the fields are those of core/v1."""

    key: str
    """Key of the taint; empty, with `Exists`: every taint."""
    operator: NotRequired[str]
    """`Exists` (the default) or `Equal`."""
    value: NotRequired[str]
    """Value of the taint, with `Equal`."""
    effect: NotRequired[str]
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; left out: all of them."""


class ExistingSharingArgs(TypedDict):
    """How several pods share each GPU of a pool: `partition`, or `strategy` with `clients`."""

    partition: NotRequired[str]
    """MIG profile of the instances into which every GPU is divided, one for each pod, for example `1g.10gb`."""
    strategy: NotRequired[str]
    """`time-sharing`: pods take turns on a whole GPU, and divide its memory."""
    clients: NotRequired[int]
    """Pods that share a GPU with `strategy`: 2 or more, on GKE at most 48."""


class ExistingPoolSpecArgs(TypedDict):
    """A pool of nodes that are already there."""

    name: str
    """Name of the pool."""
    accelerator: str
    """The accelerator's name in the catalog, for example `RTX-A6000`."""
    gpus_per_node: NotRequired[int]
    """Accelerators of one node; all nodes of a pool have the same number. 1 by default."""
    nodes: NotRequired[int]
    """How many nodes there are; 1 by default."""
    cpu: float
    """Cores that pods can use on one node."""
    memory_gib: float
    """Memory that pods can use on one node, in GiB."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes."""
    tolerations: NotRequired[list[TolerationArgs]]
    """Taints of the nodes that pods must tolerate."""
    sharing: NotRequired[ExistingSharingArgs]
    """How the owner's device plugin shares each GPU among pods; a GPU is one pod's alone if left out."""
    gpu_resource: NotRequired[str]
    """Extended resource to ask for; left out: the accelerator's own, for example `nvidia.com/gpu`."""


class CacheStorageArgs(TypedDict):
    """A claim for the model cache that is made."""

    size_gib: int
    """Size in GiB."""
    storage_class: NotRequired[str]
    """The cluster's storage class; left out: its default."""
    access_mode: NotRequired[str]
    """`ReadWriteOnce` (the default), or `ReadWriteMany` where pods of several nodes read it."""
