"""The smallest GPUs that would serve a model: what to suggest where the chosen ones do not."""

from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.gpu_sharing import process_gpu, roomier
from llm_serving.planning.host import NO_SIDECAR, SidecarRequests
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.parallelism import SIZES, choose_gpus, layout_problems
from llm_serving.spec import ModelSpec, ReleaseSpec

UNLIMITED = 1e6
"""Cores and GiB of the imaginary host of an offer that names GPUs only."""


@dataclass(frozen=True)
class Offer:
    """A node that a model fits.

    Attributes:
        accelerator: GPU in the catalog.
        gpus: GPUs of one node; one instance may use fewer.
        machine_type: the cloud's machine; ``None`` for GPUs wherever they are.
        node: the node that it becomes.
    """

    accelerator: str
    gpus: int
    machine_type: str | None
    node: NodeShape

    def __str__(self) -> str:
        where = f" ({self.machine_type})" if self.machine_type else ""
        return f"{self.gpus} x {self.accelerator}{where}"


def smallest_offer(
    model: ModelSpec, release: ReleaseSpec, cloud: Cloud | None = None, sidecar: SidecarRequests = NO_SIDECAR
) -> Offer | None:
    """The offer with the least GPU memory that fits, then the cheapest, or ``None`` where nothing does.

    ``cloud``: look among that cloud's machine types; ``None`` for any GPU of the catalog.
    ``model.tensor_parallelism`` is ignored: an offer leaves the choice to the planner.

    Raises:
        UnknownFact: for an architecture that is not in the catalog.
    """
    return next((offer for offer in _by_size(cloud) if _fits(model, release, offer.node, sidecar)), None)


def describe_offers(
    model: ModelSpec, release: ReleaseSpec, node: NodeShape, cloud: Cloud, sidecar: SidecarRequests = NO_SIDECAR
) -> str:
    """The suggestion of a refusal: a larger part of the node's own GPUs where they are shared; else the smallest that
    the cloud sells and that fits. Where it sells none, a larger host for the node's own GPUs where that is all that is
    missing, else the smallest GPUs of all. An empty string where nothing fits."""
    setting = next((setting for setting, larger in roomier(node) if _fits(model, release, larger, sidecar)), "")
    if setting:
        return setting
    sells = bool(cloud.gpu_nodes())
    roomy = node.model_copy(update={"cpu": UNLIMITED, "memory_gib": UNLIMITED})
    if not sells and process_gpu(node).memory_gib and _fits(model, release, roomy, sidecar):
        return "nodes with more cores and memory"
    offer = smallest_offer(model, release, cloud if sells else None, sidecar)
    return f"a pool with nodes of at least {offer}" if offer else ""


def _by_size(cloud: Cloud | None) -> list[Offer]:
    """What there is, smallest first: the machines of a cloud, or every number of every GPU."""
    if cloud is None:
        offers = [
            Offer(gpu.name, size, None, NodeShape(accelerator=gpu.name, gpus=size, cpu=UNLIMITED, memory_gib=UNLIMITED))
            for gpu in catalog.accelerators()
            if gpu.resource
            for size in SIZES
        ]
        return sorted(offers, key=lambda offer: (_memory(offer), offer.gpus, offer.accelerator))
    offers = [Offer(node.accelerator, node.gpus, name, node) for name, node in cloud.gpu_nodes().items()]
    return sorted(offers, key=lambda offer: (_memory(offer), _price(cloud, offer), offer.gpus, str(offer)))


def _memory(offer: Offer) -> float:
    """Marketed memory: what a process sees differs by a few MiB between GPUs that are sold as equally large."""
    return offer.gpus * (catalog.accelerator(offer.accelerator).memory_gb or 0)


def _price(cloud: Cloud, offer: Offer) -> float:
    """Lowest known on-demand price over all regions; machines without one come last."""
    known = [entry.on_demand for entry in catalog.prices(cloud.name, offer.machine_type or "")]
    return min((price for price in known if price is not None), default=float("inf"))


def _fits(model: ModelSpec, release: ReleaseSpec, node: NodeShape, sidecar: SidecarRequests) -> bool:
    facts = catalog.model_facts(release.model)
    accelerator = process_gpu(node)
    if not accelerator.runs(release.quantization) or release.context_length > facts.max_context:
        return False
    any_size = model.model_copy(update={"tensor_parallelism": None})
    if any(layout_problems(facts, any_size, node)):
        return False
    return choose_gpus(facts, release, any_size, accelerator, node, sidecar).fits
