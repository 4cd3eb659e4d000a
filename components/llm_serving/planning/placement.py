"""From "this model on this pool" to the numbers of one engine instance, with the reason for each of them."""

from math import ceil

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Accelerator, UnknownFact
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.cold_start import ColdStart, StartupChoices, cold_start
from llm_serving.planning.fit import GIB, MemoryBudget, Parallelism, weight_bytes
from llm_serving.planning.gpu_sharing import process_gpu, share_of_whole
from llm_serving.planning.host import NO_SIDECAR, SidecarRequests, image_storage_gib, stream_buffer_bytes
from llm_serving.planning.machine_offers import describe_offers
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.parallelism import choose_gpus, layout_problems
from llm_serving.spec import ModelFacts, ModelSpec, Quantization, ReleaseSpec

RELEASE = "releases.stable"

_FOUR_BITS = (
    Quantization.AWQ,
    Quantization.GPTQ,
    Quantization.MXFP4,
    Quantization.NVFP4,
    Quantization.BITSANDBYTES,
    Quantization.GGUF,
)


class ModelPlan(Frozen):
    """One instance of a model, decided.

    Attributes:
        tensor_parallelism: GPUs over which every layer is cut.
        pipeline_parallelism: stages that the layers are dealt to.
        data_parallelism: whole copies of the model in the instance.
        expert_parallel: the experts of a mixture are dealt to the GPUs instead of being cut.
        nodes: nodes of one instance, with one pod on each.
        gpus: GPUs of the whole instance: tensor x pipeline x data parallelism.
        max_model_len: longest request in tokens.
        gpu_memory_utilization: share of the GPU's memory that the engine may use.
        static_memory_share: share of the GPU's memory that weights and KV cache take: what engines are told that do not
            measure the rest.
        kv_cache_gib: KV cache on each GPU, in GiB.
        kv_cache_is_given: the engine is told the size of the KV cache, because it cannot measure what is left.
        compiles: the engine compiles the model before it serves.
        kv_cache_tokens: tokens of context that the instance holds.
        max_concurrency: requests of full context length that the instance holds at once.
        cpu: cores to request, of each pod.
        memory_gib: memory in GiB of each pod, request and limit alike.
        shm_gib: size of ``/dev/shm`` of each pod in GiB.
        image_gib: ephemeral storage of the node in GiB that each pod requests for image and files of the engine.
        cached_gib: ephemeral storage of the node in GiB that the model cache's driver fills for each pod.
        stream_buffer_bytes: host memory that each process may buffer while it streams weights; ``None`` where they are
            not streamed.
        cold_start: stages until a new instance answers.
        reasons: why, by field.
    """

    tensor_parallelism: int
    pipeline_parallelism: int
    data_parallelism: int
    expert_parallel: bool
    nodes: int
    gpus: int
    max_model_len: int
    gpu_memory_utilization: float
    static_memory_share: float
    kv_cache_gib: float
    kv_cache_is_given: bool
    compiles: bool
    kv_cache_tokens: int
    max_concurrency: float
    cpu: float
    memory_gib: float
    shm_gib: float
    image_gib: float
    cached_gib: float
    stream_buffer_bytes: int | None
    cold_start: ColdStart
    reasons: dict[str, str]

    @property
    def gpus_per_node(self) -> int:
        """GPUs that each pod of the instance requests."""
        return self.gpus // self.nodes

    @property
    def cold_start_seconds(self) -> int:
        """Seconds from the pending pod to the first answer; time-outs are twice as long."""
        return self.cold_start.total


def plan_model(
    model: ModelSpec,
    release: ReleaseSpec,
    node: NodeShape,
    cloud: Cloud,
    sidecar: SidecarRequests = NO_SIDECAR,
) -> ModelPlan:
    """Decide everything about one instance of ``release`` on ``node``.

    Args:
        model: the model as its stack sets it.
        release: what is served.
        node: a node of the pool.
        cloud: where the node is: how long it takes to start, and what else could be bought.
        sidecar: requests of the containers beside the engine, such as the model cache's driver.

    Raises:
        ProblemsError: paths are relative to the :class:`ModelSpec`; the suggestion is the smallest choice
            that fits.
    """
    facts = _facts(release)
    accelerator = _accelerator(node)
    if release.context_length > facts.max_context:
        raise _error(
            RELEASE,
            release.version,
            f"the release asks for {release.context_length} tokens of context, {facts.architecture} was made for "
            f"at most {facts.max_context}",
            Suggestion(f"a release with contextLength {facts.max_context}", needs=Needs.ELSEWHERE),
        )
    if not accelerator.runs(release.quantization):
        raise _error(
            RELEASE,
            release.version,
            f"the engine has no {release.quantization} kernels for {accelerator.name}"
            + (f" (compute capability {accelerator.compute_capability})" if accelerator.compute_capability else ""),
            Suggestion(describe_offers(model, release, node, cloud, sidecar), needs=Needs.CHOICE),
        )
    problems = tuple(layout_problems(facts, model, node))
    if problems:
        raise ProblemsError(problems)
    fitting = choose_gpus(facts, release, model, accelerator, node, sidecar)
    if fitting.parallelism is None or fitting.budget is None or fitting.host is None:
        raise _does_not_fit(model, release, node, cloud, fitting.refusals, sidecar)
    spread = fitting.parallelism
    weights = weight_bytes(facts, release.quantization)
    device = catalog.device(accelerator.device)
    return ModelPlan(
        tensor_parallelism=spread.tensor,
        pipeline_parallelism=spread.pipeline,
        data_parallelism=spread.data,
        expert_parallel=spread.experts,
        nodes=spread.nodes,
        gpus=spread.gpus,
        max_model_len=release.context_length,
        gpu_memory_utilization=share_of_whole(node, model.gpu_memory_utilization),
        static_memory_share=share_of_whole(node, fitting.budget.static_share),
        kv_cache_gib=round(fitting.budget.kv_cache_gib, 2),
        kv_cache_is_given=device.kv_step_gib is not None,
        compiles=device.compiles,
        kv_cache_tokens=fitting.budget.kv_cache_tokens * spread.data,
        max_concurrency=round(fitting.budget.concurrency(release.context_length) * spread.data, 2),
        cpu=fitting.host.cpu,
        memory_gib=fitting.host.memory_gib,
        shm_gib=fitting.host.shm_gib,
        image_gib=image_storage_gib(node, spread.gpus_per_node),
        cached_gib=ceil(sidecar.cached_gib(weights / GIB)),
        stream_buffer_bytes=(
            stream_buffer_bytes(device, spread.gpus_per_node, fitting.host) if model.engine.stream_weights else None
        ),
        cold_start=cold_start(cloud, device, weights, choices=StartupChoices.of(cloud, model, release)),
        reasons=_reasons(model, release, facts, accelerator, node, spread, fitting.refusals, fitting.budget),
    )


def weight_only_note(release: ReleaseSpec, accelerator: Accelerator) -> str:
    """What a user should know of a quantization that the GPU stores but does not compute in; empty otherwise.
    Of those with four bits it is true on every GPU and the point of choosing them."""
    if release.quantization not in accelerator.weight_only or release.quantization in _FOUR_BITS:
        return ""
    return (
        f"{accelerator.name} has no {release.quantization} arithmetic: the weights take half the memory, but the "
        "engine computes in 16 bits, so throughput does not rise"
    )


def _facts(release: ReleaseSpec) -> ModelFacts:
    try:
        return catalog.model_facts(release.model)
    except UnknownFact as unknown:
        raise _error(
            RELEASE,
            release.version,
            f"the release's architecture {unknown.name!r} is not in the catalog",
            Suggestion(unknown.nearest, needs=Needs.ELSEWHERE),
        ) from None


def _accelerator(node: NodeShape) -> Accelerator:
    try:
        return process_gpu(node)
    except UnknownFact as unknown:
        kind = "GPU" if unknown.kind == "accelerator" else unknown.kind
        near = Suggestion(unknown.nearest, needs=Needs.CHOICE)
        raise _error("pool", None, f"its {kind} {unknown.name!r} is not in the catalog", near) from None


def _does_not_fit(
    model: ModelSpec,
    release: ReleaseSpec,
    node: NodeShape,
    cloud: Cloud,
    refusals: tuple[str, ...],
    sidecar: SidecarRequests,
) -> ProblemsError:
    reason = f"{release.name} {release.version} does not fit: " + "; ".join(refusals)
    if model.tensor_parallelism is None:
        offers = Suggestion(describe_offers(model, release, node, cloud, sidecar), needs=Needs.CHOICE)
        return _error("pool", model.pool, reason, offers)
    any_size = model.model_copy(update={"tensor_parallelism": None})
    try:
        plan = plan_model(any_size, release, node, cloud, sidecar)
    except ProblemsError as error:
        suggestion = error.problems[0].suggestion
    else:
        suggestion = Suggestion(values=[plan.tensor_parallelism])
    return _error("tensorParallelism", model.tensor_parallelism, reason, suggestion)


def _error(path: str, value: object, reason: str, suggestion: str) -> ProblemsError:
    return ProblemsError([Problem(path, value, reason, suggestion)])


def _reasons(
    model: ModelSpec,
    release: ReleaseSpec,
    facts: ModelFacts,
    accelerator: Accelerator,
    node: NodeShape,
    spread: Parallelism,
    refusals: tuple[str, ...],
    budget: MemoryBudget,
) -> dict[str, str]:
    gpus = spread.gpus_per_node
    origin = "the smallest number that fits"
    if model.tensor_parallelism is not None:
        origin = "asked for"
    elif spread.nodes > 1:
        origin = "what is left of whole nodes"
    loras = f" - {budget.lora_gib:.2f} for LoRA adapters" if budget.lora_gib else ""
    graphs = f" - {budget.graph_gib:.2f} CUDA graphs" if budget.graph_gib and budget.counts_graphs else ""
    per_request = f" and {budget.kv_bytes_per_request} a request" if budget.kv_bytes_per_request else ""
    copies = f", {spread.data} copies" if spread.data > 1 else ""
    reasons = {
        "tensor_parallelism": "; ".join([f"{spread.tensor} is {origin}", *refusals]),
        "pipeline_parallelism": _count_reason(spread.pipeline, f"stages of {facts.layer_count} layers in all"),
        "data_parallelism": _count_reason(spread.data, "copies, each with a KV cache of its own"),
        "expert_parallel": "asked for" if spread.experts else "not asked for: each expert is cut like every layer",
        "nodes": _count_reason(spread.nodes, "nodes, which the instance takes whole"),
        "static_memory_share": "weights and KV cache, by the memory of a GPU",
        "max_model_len": f"the release's context length; {facts.architecture} allows {facts.max_context}",
        "kv_cache_gib": (
            f"{budget.usable_gib:.2f} GiB usable of {budget.total_gib:.2f} ({model.gpu_memory_utilization:g})"
            f" - {budget.weights_gib:.2f} weights{loras} - {budget.activation_gib:.2f} activations{graphs}"
            f" - {budget.non_torch_gib:.2f} outside PyTorch, on each GPU"
            + (f", in whole steps of {budget.kv_step_gib:g} GiB" if budget.kv_step_gib else "")
        ),
        "kv_cache_tokens": f"{budget.kv_bytes_per_token} bytes a token{per_request} on each GPU{copies}",
        "max_concurrency": (
            f"tokens of the cache by a context of {release.context_length}; at least {model.min_concurrency:g} was "
            "asked for"
        ),
        "cpu": f"{gpus} of {node.gpus} parts of the node's {node.cpu:g} cores, less daemon sets and sidecar",
        "memory_gib": (
            f"{gpus} of {node.gpus} parts of the node's {node.memory_gib:g} GiB, less daemon sets and sidecar"
        ),
        "shm_gib": f"messages between the workers of {gpus} GPU(s)",
        "image_gib": f"{gpus} of {node.gpus} parts of what image and files of an engine take of a node's disk",
        "cached_gib": "weights that the model cache's driver keeps on the node, and files of its own",
        "stream_buffer_bytes": "what the memory leaves beside engine and /dev/shm, for each process; at most 40 GB",
        "cold_start": "estimated by stage from published measurements",
    }
    if node.clients > 1:
        reasons["gpu_memory_utilization"] = (
            f"{model.gpu_memory_utilization:g} of a part of the GPU, which {node.clients} pods share in turns"
        )
    note = weight_only_note(release, accelerator)
    return reasons | {"quantization": note} if note else reasons


def _count_reason(number: int, what: str) -> str:
    return f"{number} {what}, as asked for" if number > 1 else "not asked for"
