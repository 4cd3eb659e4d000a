"""Over how many GPUs one instance is spread: the smallest number that holds weights and KV cache.

Fewer GPUs an instance mean more instances a node and no communication between GPUs, so the smallest number
wins. Pipeline stages, copies and nodes are settings; over how many GPUs the layers are cut is chosen
here where the stack leaves it open. An instance on several nodes takes these nodes whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.catalog import Accelerator, Device
from llm_serving.errors import Problem, Suggestion
from llm_serving.planning.fit import (
    CACHE_BYTES,
    GIB,
    Demands,
    MemoryBudget,
    Parallelism,
    largest_tensor_bytes,
    memory_budget,
    parallelism_obstacle,
)
from llm_serving.planning.host import (
    NO_SIDECAR,
    HostShare,
    SidecarRequests,
    host_share,
    least_cpu,
    least_memory_gib,
    stream_buffer_bytes,
)
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import EngineSpec, KvCacheType, ModelFacts, ModelSpec, ReleaseSpec

SIZES = (1, 2, 4, 8, 16)
"""Numbers of GPUs that are tried where the user leaves the choice open."""


@dataclass(frozen=True)
class Fitting:
    """A spread that works, or the reasons why none does.

    Attributes:
        parallelism: the spread; ``None`` where nothing fits.
        budget: memory of each of its GPUs; ``None`` where nothing fits.
        host: cores and memory of the instance on each of its nodes; ``None`` where nothing fits.
        refusals: why each smaller number, or every number, was refused.
    """

    parallelism: Parallelism | None
    budget: MemoryBudget | None
    host: HostShare | None
    refusals: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Weights and KV cache, cores and memory of a spread have room; else :attr:`refused` says why not."""
        return self.parallelism is not None


def demands(release: ReleaseSpec, options: EngineSpec) -> Demands:
    """What release and stack want of the memory beyond the weights. Without adapters there is no room for any."""
    return Demands(
        context_length=release.context_length,
        step_tokens=options.max_batched_tokens,
        batch=options.max_sequences,
        captures_graphs=str(options.flag_part("compilation-config", "cudagraph_mode")) not in _NO_GRAPHS,
        counts_graphs=options.environment.get(COUNTS_GRAPHS) != "0",
        graph_sizes=tuple(sorted(set(options.graph_sizes))),
        cache_bytes=1 if release.kv_cache is KvCacheType.FP8 else CACHE_BYTES,
        offload_gib=_offload_gib(options),
        loras=options.max_loras if release.adapters else 0,
        lora_rank=options.max_lora_rank,
        media=options.media_per_prompt,
    )


COUNTS_GRAPHS = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
"""Variable of vLLM: with 0 it does not take CUDA graphs off the KV cache, as it does by default since 0.21."""

_NO_GRAPHS = frozenset({"NONE", "none", "0"})
"""``CUDAGraphMode.NONE``, by name and by number."""


def _offload_gib(options: EngineSpec) -> float:
    """Weights of each GPU that stay in host memory, by a flag that vLLM and SGLang share."""
    value = options.flags.get("cpu-offload-gb", 0)
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return 0.0  # refused by the rules of flags


def layout_problems(facts: ModelFacts, model: ModelSpec, node: NodeShape) -> Iterator[Problem]:
    """What is wrong with stages, copies, experts and nodes whatever the size of GPUs is. Paths are relative to the
    model."""
    if node.is_shared and (problems := tuple(_on_part_of_gpu(model, node))):
        yield from problems
        return
    options = model.engine
    shares = options.pipeline_parallelism * options.data_parallelism
    setting = "pipelineParallelism" if options.pipeline_parallelism > 1 else "dataParallelism"
    degree = options.pipeline_parallelism if options.pipeline_parallelism > 1 else options.data_parallelism
    if options.expert_parallel and facts.experts is None:
        yield Problem(
            "engine.expertParallel",
            True,
            f"{facts.architecture} has no experts to deal out",
            Suggestion(values=[False]),
        )
    if options.pipeline_parallelism > facts.layer_count:
        yield Problem(
            "engine.pipelineParallelism",
            options.pipeline_parallelism,
            f"more stages than the {facts.layer_count} layers of {facts.architecture}",
            Suggestion(values=[facts.layer_count]),
        )
    total = options.nodes * node.gpus
    if shares > total:
        having = f"{options.nodes} nodes have" if options.nodes > 1 else "a node has"
        reason = f"{shares} stages and copies need a GPU each, and {having} {total}"
        most = max(1, total // (shares // degree))
        yield Problem(f"engine.{setting}", degree, reason, Suggestion(f"{most}, or larger nodes", values=[most]))
    elif options.nodes > 1:
        yield from _across_nodes(model, node, total, shares, setting, degree)


def _on_part_of_gpu(model: ModelSpec, node: NodeShape) -> Iterator[Problem]:
    """A process sees one instance of MIG however many it is given (NVIDIA's MIG user guide, "Device Enumeration"), and
    GKE refuses pods that ask for more than one place on a GPU that pods share in turns ("GPU time-sharing",
    limitations)."""
    options = model.engine
    reason = (
        f"the pool's GPUs are divided into MIG instances ({node.partition}), and an engine sees one of them"
        if node.partition is not None
        else f"{node.clients} pods share each GPU of the pool in turns, and a pod can ask for one such place"
    )
    for path, degree in (
        ("tensorParallelism", model.tensor_parallelism or 1),
        ("engine.pipelineParallelism", options.pipeline_parallelism),
        ("engine.dataParallelism", options.data_parallelism),
        ("engine.nodes", options.nodes),
    ):
        if degree > 1:
            yield Problem(path, degree, reason, Suggestion("1, or a pool without sharing", values=[1]))


def _across_nodes(
    model: ModelSpec, node: NodeShape, total: int, shares: int, setting: str, degree: int
) -> Iterator[Problem]:
    """An instance takes whole nodes; a copy takes a number of nodes, or several copies share one."""
    options = model.engine
    tensor = model.tensor_parallelism
    whole = f"{options.nodes} nodes have {total} GPUs, and an instance on several nodes takes them whole"
    if total % shares:
        reason = f"{shares} stages and copies do not share them evenly: {whole}"
        even = [less for less in range(degree - 1, 0, -1) if total % (less * (shares // degree)) == 0]
        yield Problem(f"engine.{setting}", degree, reason, Suggestion(values=even[:1] or [1]))
    elif tensor is not None and tensor * shares != total:
        reason = f"{tensor * shares} GPUs are asked for: {whole}"
        yield Problem("tensorParallelism", tensor, reason, Suggestion(values=[total // shares]))
    elif options.data_parallelism > 1:
        copy = total // options.data_parallelism
        if copy % node.gpus and node.gpus % copy:
            reason = f"a copy takes {copy} GPUs, which are neither whole nodes of {node.gpus} nor even parts of one"
            suggestion = Suggestion(f"{options.nodes}, a copy on each node", values=[options.nodes])
            yield Problem("engine.dataParallelism", options.data_parallelism, reason, suggestion)


def choose_gpus(
    facts: ModelFacts,
    release: ReleaseSpec,
    model: ModelSpec,
    accelerator: Accelerator,
    node: NodeShape,
    sidecar: SidecarRequests = NO_SIDECAR,
) -> Fitting:
    """The smallest number of GPUs that fits, or the requested number (``tensorParallelism``) if it fits."""
    requested, streams = demands(release, model.engine), model.engine.stream_weights
    refusals: list[str] = []
    for parallelism in _spreads(model, node):
        on_node = parallelism.gpus_per_node
        host = host_share(node, on_node, sidecar)
        budget = memory_budget(
            facts, release.quantization, accelerator, parallelism, model.gpu_memory_utilization, host, requested
        )
        needed = release.context_length * max(1.0, model.min_concurrency / parallelism.data)
        why_not = (
            (f"a node has {node.gpus} GPUs" if on_node > node.gpus else "")
            or parallelism_obstacle(facts, release.quantization, parallelism)
            or _memory_obstacle(budget, release.context_length, needed)
            or _host_obstacle(catalog.device(accelerator.device), host, on_node, requested.offload_gib)
            or (_stream_obstacle(facts, release, accelerator, host, on_node) if streams else "")
        )
        if not why_not:
            return Fitting(parallelism, budget, host, tuple(refusals))
        refusals.append(f"{parallelism.gpus} x {accelerator.name}: {why_not}")
    return Fitting(None, None, None, tuple(refusals))


def _spreads(model: ModelSpec, node: NodeShape) -> Iterator[Parallelism]:
    """The spreads to try, smallest first."""
    options = model.engine
    shares = options.pipeline_parallelism * options.data_parallelism
    if model.tensor_parallelism is not None:
        sizes: tuple[int, ...] = (model.tensor_parallelism,)
    elif node.is_shared:
        sizes = (1,)
    elif options.nodes > 1:
        sizes = (max(1, options.nodes * node.gpus // shares),)
    else:
        sizes = tuple(size for size in SIZES if size * shares <= node.gpus) or (1,)
    for size in sizes:
        yield Parallelism(
            tensor=size,
            pipeline=options.pipeline_parallelism,
            data=options.data_parallelism,
            experts=options.expert_parallel,
            nodes=options.nodes,
        )


def _memory_obstacle(budget: MemoryBudget, context_length: int, needed: float) -> str:
    loras = f", room for LoRA adapters ({budget.lora_gib:.1f})" if budget.lora_gib else ""
    graphs = f", CUDA graphs ({budget.graph_gib:.1f})" if budget.graph_gib else ""
    used = (
        f"weights ({budget.weights_gib:.1f} GiB){loras}, activations ({budget.activation_gib:.1f}){graphs} and the "
        f"rest ({budget.non_torch_gib:.1f})"
    )
    beside = budget.total_gib - budget.usable_gib
    if not budget.counts_graphs and beside < budget.graph_gib + budget.non_torch_gib:
        return (
            f"CUDA graphs ({budget.graph_gib:.1f} GiB) and the engine's own process ({budget.non_torch_gib:.1f}) do "
            f"not fit beside the {budget.usable_gib:.1f} GiB that the engine may use of each GPU, and "
            f"{COUNTS_GRAPHS} is 0"
        )
    if budget.kv_step_gib is not None and budget.kv_cache_gib <= 0:
        return (
            f"of the {budget.usable_gib:.1f} GiB that the engine may use, {used} leave less than "
            f"{budget.kv_step_gib:g} GiB, the least KV cache"
        )
    if budget.kv_cache_gib <= 0:
        return f"{used} exceed the {budget.usable_gib:.1f} GiB that the engine may use of each GPU"
    if budget.kv_cache_tokens < needed:
        return (
            f"{budget.kv_cache_gib:.1f} GiB are left for the KV cache, which hold {budget.kv_cache_tokens} tokens; "
            f"{needed / context_length:g} request(s) of full context length need {needed:.0f}"
        )
    return ""


def _host_obstacle(device: Device, host: HostShare, gpus: int, offload_gib: float) -> str:
    needed = least_memory_gib(device, gpus) + offload_gib * gpus
    if host.memory_gib < needed:
        offloaded = f" with {offload_gib * gpus:g} of weights (engine.flags.cpu-offload-gb)" if offload_gib else ""
        return (
            f"the instance's share of the node's memory is {host.memory_gib:.1f} GiB and it needs "
            f"{needed:.1f}{offloaded}"
        )
    if host.cpu < least_cpu(device, gpus):
        return f"the instance's share of the node's cores is {host.cpu:.1f} and it needs {least_cpu(device, gpus):g}"
    return ""


def _stream_obstacle(
    facts: ModelFacts, release: ReleaseSpec, accelerator: Accelerator, host: HostShare, gpus: int
) -> str:
    """The streamer cannot be limited to less than the largest tensor (its documentation, "CPU memory capping")."""
    buffer = stream_buffer_bytes(catalog.device(accelerator.device), gpus, host)
    tensor = largest_tensor_bytes(facts, release.quantization)
    if buffer >= tensor:
        return ""
    return (
        f"the instance's share of the node's memory leaves {buffer / GIB:.1f} GiB for each process that streams "
        f"weights, and the largest tensor has {tensor / GIB:.1f} GiB (engine.streamWeights)"
    )
