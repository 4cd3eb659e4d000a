"""What the rest needs of a cloud, as data; and the labels by which all rooms know nodes and pods.

Clouds fulfil these models; ``serving`` and the rest read them and never see a cloud's name. They are data and not
objects, because between components they travel as ``Input[dict[str, Any]]`` (an Output given for a nested typed input
of a component plugin silently becomes ``{}``). ``model.to_data()`` makes the dictionary, ``parse(Model, data)`` reads
it back.
"""

from typing import Annotated, Any

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.names import Count
from llm_serving.spec.toleration import Toleration

DOMAIN = "llm-serving.dev"
LABEL_POOL = f"{DOMAIN}/pool"
"""On nodes and on the pods of models: the pool's name."""
LABEL_MARKET = f"{DOMAIN}/market"
"""On nodes: the market of their capacity entry. Spot nodes carry it as a taint too."""
LABEL_MODEL = f"{DOMAIN}/model"
"""On everything that belongs to a model: its name."""
LABEL_RELEASE = f"{DOMAIN}/release"
"""On everything that belongs to a release: its version."""
LABEL_TEAM = f"{DOMAIN}/team"
"""On everything in a team's namespace: its name."""

SHARE_BASE = "base"
"""The share of a release's instances that run on capacity that is not taken away; suffix of its workload's name."""

ENGINE_CONTAINER = "engine"
"""The container of an instance's pod that runs the engine."""


Port = Annotated[int, Field(ge=1, le=65535)]


class ContractModel(Frozen):
    """Base of everything that travels between components."""

    def to_data(self) -> dict[str, Any]:
        """Plain data with the spelling of the wire (``nodeSelector``), without the fields that are unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class PoolScheduling(ContractModel):
    """How a pod gets onto a pool's nodes.

    Attributes:
        pool: the pool's name.
        accelerator: the GPU's name in the catalog; of a shared one also the part that a pod gets, as
            ``L4 shared by 4`` or ``A100-40GB 1g.10gb``.
        node_selector: labels that the pod must select.
        tolerations: taints of the nodes that the pod must tolerate, those of every capacity entry.
        gpu_resource: extended resource to request; ``None`` where the accelerator is a CPU.
        gpus_per_node: GPUs of one node that pods can ask for: whole ones, or the parts of shared ones.
        network_devices: extended resources of one node by which its GPUs reach those of other nodes, with how many of
            each it has; an instance of several nodes asks for all of them. Empty where the nodes' own network is all.
        node_allocatable_cpu: cores that pods can use on the smallest node of the pool, before daemon sets.
        node_allocatable_memory_gib: memory that pods can use on the smallest node of the pool, in GiB.
        spot_notice_seconds: time that pods get between notice and end, by the shortest termination notice of the
            pool's capacity; ``None`` where nodes are not taken away.
        non_preemptible_markets: values of the label :data:`LABEL_MARKET` on those nodes of the pool that are not
            taken away; empty where nodes have no such label, which is where all of them stay.
        pod_annotations: annotations without which an autoscaler of nodes would move an instance to pack nodes.
        local_ssd: nodes offer local SSD for ephemeral storage.
    """

    pool: str
    accelerator: str
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...] = ()
    gpu_resource: str | None = None
    gpus_per_node: Count
    network_devices: dict[str, Count] = {}
    node_allocatable_cpu: Annotated[float, Field(gt=0)]
    node_allocatable_memory_gib: Annotated[float, Field(gt=0)]
    spot_notice_seconds: Count | None = None
    non_preemptible_markets: tuple[str, ...] = ()
    pod_annotations: dict[str, str] = {}
    local_ssd: bool = False


class WorkloadIdentityBinding(ContractModel):
    """How a workload proves to the cloud who it is.

    Attributes:
        service_account: name of the Kubernetes service account.
        namespace: its namespace.
        annotations: annotations of the service account.
        pod_labels: labels that the pod needs for the cloud's webhook or agent.
    """

    service_account: str
    namespace: str
    annotations: dict[str, str] = {}
    pod_labels: dict[str, str] = {}


class ModelCacheVolume(ContractModel):
    """The model cache as a pod mounts it.

    Attributes:
        volume: a core/v1 Volume without its name, for example a ``csi`` source, as engines mount it: read-only.
        loader_volume: the same as the loader mounts it, which writes; ``None`` where it cannot be mounted so.
        loader_url: bucket that the loader writes instead, for example ``gs://bucket``; ``None`` where there is none.
        pod_annotations: annotations that the pod needs for the volume's driver.
        sidecar_cpu: cores that the driver's sidecar requests, on top of the engine's own.
        sidecar_memory_gib: memory of the sidecar.
        sidecar_storage_gib: what the sidecar writes to the node's ephemeral storage beside cached weights, in GiB.
        storage_annotation: annotation of the pod by which the sidecar requests ephemeral storage of the node (a
            quantity), where it caches weights there; ``None`` where it cannot request any.
        caches_weights: the driver caches weights on the node's ephemeral storage, whoever requests it.
    """

    volume: dict[str, Any]
    loader_volume: dict[str, Any] | None = None
    loader_url: str | None = None
    pod_annotations: dict[str, str] = {}
    sidecar_cpu: float = 0
    sidecar_memory_gib: float = 0
    sidecar_storage_gib: float = 0
    storage_annotation: str | None = None
    caches_weights: bool = False


class NetworkReach(ContractModel):
    """Ranges for network policies.

    Attributes:
        identity_egress: addresses of the cloud's identity endpoint (metadata server).
        identity_ports: its TCP ports.
        storage_egress: addresses of the object store as pods see them.
        storage_ports: its TCP ports.
        dns_egress: addresses of name services that are no pods of the cluster.
        gateway_sources: addresses from which the gateway's proxies connect.
        api_server_egress: addresses of the API server as pods see them; empty where they are private ones.
        api_server_ports: its TCP ports.
    """

    identity_egress: tuple[str, ...] = ()
    identity_ports: tuple[Port, ...] = (80,)
    storage_egress: tuple[str, ...] = ()
    storage_ports: tuple[Port, ...] = (443,)
    dns_egress: tuple[str, ...] = ()
    gateway_sources: tuple[str, ...] = ()
    api_server_egress: tuple[str, ...] = ()
    api_server_ports: tuple[Port, ...] = (443, 6443)
