"""The interface: all that planning asks of a cloud, with the answer of a cloud that has nothing to say."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address

from llm_serving import catalog
from llm_serving.catalog import MachineType, UnknownFact
from llm_serving.planning.host import NO_SIDECAR, SidecarRequests
from llm_serving.planning.nodes import DEFAULT_MAX_PODS, NodeShape
from llm_serving.spec import CapacityEntry, GpuExporterSpec, GpuNodesSpec, LoadBalancerSpec, Market, Pool
from llm_serving.spec.forms import Form


@dataclass(frozen=True)
class BalancedService:
    """What makes a Service's load balancer the one that is asked for.

    Attributes:
        annotations: of the Service.
        address: ``spec.loadBalancerIP``; ``None`` where the cloud chooses, or is told by an annotation.
    """

    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    address: str | None = None


class Cloud(ABC):
    """A cloud as planning sees it: facts, and formulas over settings and catalog. It holds nothing of a stack.

    Attributes:
        name: as settings, arguments and the catalog's tables call it.
        markets: terms on which it sells machines.
        title: as people call it.
        similar_markets: for terms on which it does not sell, the nearest of its own.
        reserved_label_domains: domains of node labels that it sets itself, beside those of Kubernetes.
        reserved_namespaces: names of namespaces that are its own, or beginnings where they end in ``-``.
        reservation_form: how a reservation is named.
        zone_separator: what stands between a region's name and a zone's letter.
        reserved_pool_names: names that no pool may have, each with the reason.
        reserved_pool_prefixes: beginnings that no pool's name may have, each with the reason.
        streaming_registry: end of the host names of registries whose images it streams to nodes; ``None`` where every
            image is pulled.
        most_gpu_clients: pods that may share a GPU in turns at most; ``None`` where that is the device plugin's matter.
        cache_sidecar: what its model cache puts beside every engine.
        daemon_pods: pods of its own and of daemon sets on every GPU node; ``None`` where it is not known.
        makes_model_cache: the bucket of a stack's weights is the stack's own, and empty until somebody fills it.
        has_workload_identity: pods prove to it who they are, so a Job can be allowed to write the model cache.
        all_regions_gpu_quota: name of its quota on the GPUs of all regions together; ``None`` where it has none.
        driver_libraries: folder at which its nodes mount the GPU driver's libraries into containers; ``None`` where the
            container runtime puts them where the linker looks.
        private_domains: domains of its services that pods reach without leaving its network.
        gpu_exporter: the exporter of GPUs' utilization that it runs itself on nodes with GPUs; ``None`` where it runs
            none that can be read.
        balancer_certificate: how a certificate is named with which a load balancer ends TLS; ``None`` where it passes
            connections on as they are.
        chooses_balancer_network: its load balancers have an address of its private network, or of the internet, as
            they are asked.
    """

    name: str
    markets: frozenset[Market] = frozenset(Market)
    title: str = "an existing cluster"
    similar_markets: Mapping[Market, Market] = {}
    reserved_label_domains: tuple[str, ...] = ()
    reserved_namespaces: tuple[str, ...] = ()
    reservation_form: str = ""
    zone_separator: str = ""
    reserved_pool_names: Mapping[str, str] = {}
    reserved_pool_prefixes: Mapping[str, str] = {}
    streaming_registry: str | None = None
    most_gpu_clients: int | None = None
    cache_sidecar: SidecarRequests = NO_SIDECAR
    daemon_pods: int | None = None
    makes_model_cache: bool = True
    has_workload_identity: bool = True
    all_regions_gpu_quota: str | None = None
    driver_libraries: str | None = None
    private_domains: tuple[str, ...] = ()
    gpu_exporter: GpuExporterSpec | None = None
    balancer_certificate: Form | None = None
    chooses_balancer_network: bool = True

    @abstractmethod
    def pool_node(self, pool: Pool, *, max_pods: int = DEFAULT_MAX_PODS) -> NodeShape:
        """The least that every node of ``pool`` offers: pods must fit whichever capacity the node comes from.

        Raises:
            UnknownFact: for a machine type that is not in the catalog.
            ValueError: for a machine without GPU, or a pool that is not this cloud's.
        """

    @abstractmethod
    def gpu_nodes(self) -> Mapping[str, NodeShape]:
        """The node that each machine type with GPUs becomes, by its name; empty where no machines are sold."""

    def exporter_nodes(self, pool: Pool) -> GpuNodesSpec | None:
        """How an exporter of the stack's finds the nodes of ``pool``; ``None`` where no labels say which they are."""
        return None

    def longer_notice(self, pool: Pool) -> str:
        """The setting that would give pods of ``pool`` a longer notice; empty where there is none."""
        return ""

    def larger_storage(self, pool: Pool, is_enough: Callable[[Pool], bool]) -> str:
        """The settings that would give the nodes of ``pool`` enough ephemeral storage; empty where there are none."""
        return ""

    def spot_notice_seconds(self, pool: Pool) -> int | None:
        """Time that pods get between the cloud's notice and the end of their node: the shortest of the pool's capacity,
        in seconds; ``None`` where nodes stay."""
        return None

    def load_balancer(self, balancer: LoadBalancerSpec, certificate: str | None = None) -> BalancedService:
        """The Service of a load balancer, without the annotations of the settings.

        Args:
            balancer: what is asked for.
            certificate: with which it ends TLS; ``None`` where the pods do.
        """
        return BalancedService(address=next(iter(balancer.addresses), None))

    def refuse_addresses(self, balancer: LoadBalancerSpec) -> str | None:
        """Why a load balancer cannot have the addresses that are asked for; ``None`` where it can."""
        if len(balancer.addresses) > 1:
            return "a load balancer has one address here"
        try:
            for address in balancer.addresses:
                IPv4Address(address)
        except AddressValueError:
            return "not an IPv4 address"
        return None

    def machine(self, entry: CapacityEntry) -> MachineType | None:
        """The machine of a capacity entry, or ``None`` where the catalog does not know it; a rule refuses it then."""
        try:
            return catalog.machine_type(self.name, entry.machine_type)
        except UnknownFact:
            return None

    def region_of(self, zone: str) -> str:
        """The region that a zone is in: its name without the separator and the letter."""
        return zone[:-1].removesuffix(self.zone_separator)

    def in_region(self, region: str, zone: str) -> bool:
        """Whether a zone's name is one of the region's."""
        prefix = f"{region}{self.zone_separator}"
        letter = zone.removeprefix(prefix)
        return zone.startswith(prefix) and len(letter) == 1 and letter.isalpha() and letter.islower()
