"""From "this model on this pool" to the numbers of one engine instance, with the reason for each of them."""

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Accelerator, Architecture, UnknownFact
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.cold_start import ColdStart, cold_start
from llm_serving.planning.fit import MemoryBudget, weight_bytes
from llm_serving.planning.host import NO_SIDECAR, Sidecar
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.offers import describe_offers
from llm_serving.planning.parallelism import choose_gpus
from llm_serving.spec import ModelSpec, Quantization, ReleaseSpec

RELEASE = "releases.stable"


class ModelPlan(Frozen):
    """One instance of a model, decided.

    Attributes:
        tensor_parallelism: GPUs over which the model is split.
        gpus: GPUs that one instance asks for; equal to ``tensor_parallelism``.
        max_model_len: longest request in tokens.
        gpu_memory_utilization: share of the GPU's memory that the engine may use.
        kv_cache_gib: KV cache on each GPU, in GiB.
        kv_cache_is_given: the engine is told the size of the KV cache, because it cannot measure what is left.
        compiles: the engine compiles the model before it serves.
        kv_cache_tokens: tokens of context that the instance holds.
        max_concurrency: requests of full context length that the instance holds at once.
        cpu: cores to request.
        memory_gib: memory in GiB, request and limit alike.
        shm_gib: size of ``/dev/shm`` in GiB.
        cold_start: stages until a new instance answers.
        reasons: why, by field.
    """

    tensor_parallelism: int
    gpus: int
    max_model_len: int
    gpu_memory_utilization: float
    kv_cache_gib: float
    kv_cache_is_given: bool
    compiles: bool
    kv_cache_tokens: int
    max_concurrency: float
    cpu: float
    memory_gib: float
    shm_gib: float
    cold_start: ColdStart
    reasons: dict[str, str]

    @property
    def cold_start_seconds(self) -> int:
        """Seconds from the pending pod to the first answer; time-outs are twice as long."""
        return self.cold_start.total


def plan_model(
    model: ModelSpec,
    release: ReleaseSpec,
    node: NodeShape,
    sidecar: Sidecar = NO_SIDECAR,
) -> ModelPlan:
    """Decide everything about one instance of ``release`` on ``node``.

    ``sidecar``: what the containers beside the engine ask for, such as the model cache's driver.

    Raises:
        ProblemsError: paths are relative to the :class:`ModelSpec`; the suggestion is the smallest choice
            that fits.
    """
    architecture = _architecture(release)
    accelerator = _accelerator(node)
    if release.context_length > architecture.max_context:
        raise _refused(
            RELEASE,
            release.version,
            f"the release asks for {release.context_length} tokens of context, {architecture.name} was made for "
            f"at most {architecture.max_context}",
            f"a release with contextLength {architecture.max_context}",
        )
    if not accelerator.runs(release.quantization):
        raise _refused(
            RELEASE,
            release.version,
            f"the engine has no {release.quantization} kernels for {accelerator.name}"
            + (f" (compute capability {accelerator.compute_capability})" if accelerator.compute_capability else ""),
            describe_offers(model, release, node.cloud, sidecar),
        )
    fitting = choose_gpus(
        architecture,
        release.quantization,
        release.context_length,
        model,
        accelerator,
        node,
        sidecar,
    )
    if fitting.budget is None or fitting.host is None:
        raise _does_not_fit(model, release, node, fitting.refused, sidecar)
    weights = weight_bytes(architecture, release.quantization)
    device = catalog.device(accelerator.device)
    return ModelPlan(
        tensor_parallelism=fitting.gpus,
        gpus=fitting.gpus,
        max_model_len=release.context_length,
        gpu_memory_utilization=model.gpu_memory_utilization,
        kv_cache_gib=round(fitting.budget.kv_cache_gib, 2),
        kv_cache_is_given=device.kv_step_gib is not None,
        compiles=device.compiles,
        kv_cache_tokens=fitting.budget.kv_cache_tokens,
        max_concurrency=round(fitting.budget.concurrency(release.context_length), 2),
        cpu=fitting.host.cpu,
        memory_gib=fitting.host.memory_gib,
        shm_gib=fitting.host.shm_gib,
        cold_start=cold_start(node.cloud, device, weights),
        reasons=_reasons(
            model, release, architecture, accelerator, node, fitting.gpus, fitting.refused, fitting.budget
        ),
    )


def weight_only_note(release: ReleaseSpec, accelerator: Accelerator) -> str:
    """What a user should know of a quantization that the GPU stores but does not compute in; empty otherwise.
    Of AWQ and GPTQ it is true on every GPU and the point of choosing them."""
    if release.quantization not in accelerator.weight_only or release.quantization in (
        Quantization.AWQ,
        Quantization.GPTQ,
    ):
        return ""
    return (
        f"{accelerator.name} has no {release.quantization} arithmetic: the weights take half the memory, but the "
        "engine computes in 16 bits, so throughput does not rise"
    )


def _architecture(release: ReleaseSpec) -> Architecture:
    try:
        return catalog.architecture(release.model.architecture)
    except UnknownFact as unknown:
        raise _refused(
            RELEASE,
            release.version,
            f"the release's architecture {unknown.name!r} is not in the catalog",
            unknown.nearest,
        ) from None


def _accelerator(node: NodeShape) -> Accelerator:
    try:
        return catalog.accelerator(node.accelerator)
    except UnknownFact as unknown:
        raise _refused("pool", None, f"its GPU {unknown.name!r} is not in the catalog", unknown.nearest) from None


def _does_not_fit(
    model: ModelSpec,
    release: ReleaseSpec,
    node: NodeShape,
    refused: tuple[str, ...],
    sidecar: Sidecar,
) -> ProblemsError:
    reason = f"{release.name} {release.version} does not fit: " + "; ".join(refused)
    if model.tensor_parallelism is None:
        return _refused("pool", model.pool, reason, describe_offers(model, release, node.cloud, sidecar))
    freed = model.model_copy(update={"tensor_parallelism": None})
    try:
        found = plan_model(freed, release, node, sidecar)
    except ProblemsError as error:
        suggestion = error.problems[0].suggestion
    else:
        suggestion = str(found.tensor_parallelism)
    return _refused("tensorParallelism", model.tensor_parallelism, reason, suggestion)


def _refused(path: str, value: object, reason: str, suggestion: str) -> ProblemsError:
    return ProblemsError([Problem(path, value, reason, suggestion)])


def _reasons(
    model: ModelSpec,
    release: ReleaseSpec,
    architecture: Architecture,
    accelerator: Accelerator,
    node: NodeShape,
    gpus: int,
    refused: tuple[str, ...],
    budget: MemoryBudget,
) -> dict[str, str]:
    chosen = "asked for" if model.tensor_parallelism else "the smallest number that fits"
    reasons = {
        "tensor_parallelism": "; ".join([f"{gpus} is {chosen}", *refused]),
        "max_model_len": f"the release's context length; {architecture.name} allows {architecture.max_context}",
        "kv_cache_gib": (
            f"{budget.usable_gib:.2f} GiB usable of {budget.total_gib:.2f} ({model.gpu_memory_utilization:g})"
            f" - {budget.weights_gib:.2f} weights - {budget.activation_gib:.2f} activations"
            f" - {budget.non_torch_gib:.2f} outside PyTorch, on each GPU"
            + (f", in whole steps of {budget.kv_step_gib:g} GiB" if budget.kv_step_gib else "")
        ),
        "kv_cache_tokens": f"{budget.kv_bytes_per_token} bytes a token on each GPU",
        "max_concurrency": (
            f"tokens of the cache by a context of {release.context_length}; at least {model.min_concurrency:g} was "
            "asked for"
        ),
        "cpu": f"{gpus} of {node.gpus} parts of the node's {node.cpu:g} cores, less daemon sets and sidecar",
        "memory_gib": (
            f"{gpus} of {node.gpus} parts of the node's {node.memory_gib:g} GiB, less daemon sets and sidecar"
        ),
        "shm_gib": f"messages between the workers of {gpus} GPU(s)",
        "cold_start": "estimated by stage from published measurements",
    }
    note = weight_only_note(release, accelerator)
    return reasons | {"quantization": note} if note else reasons
