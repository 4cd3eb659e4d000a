"""Over how many GPUs of a node one instance is split: the smallest number that holds weights and KV cache.

Fewer GPUs an instance mean more instances a node and no communication between GPUs, so the smallest number
wins.
"""

from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.catalog import Accelerator, Architecture, Device
from llm_serving.planning.fit import MemoryBudget, memory_budget, parallelism_obstacle
from llm_serving.planning.host import NO_SIDECAR, HostShare, Sidecar, host_share, least_cpu, least_memory_gib
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import ModelSpec, Quantization

SIZES = (1, 2, 4, 8, 16)
"""Numbers of GPUs that are tried where the user leaves the choice open."""


@dataclass(frozen=True)
class Fitting:
    """A number of GPUs that works, or the reasons why none does.

    Attributes:
        gpus: GPUs of one instance; 0 where nothing fits.
        budget: memory of each of these GPUs; ``None`` where nothing fits.
        host: cores and memory of the instance; ``None`` where nothing fits.
        refused: why each smaller number, or every number, was refused.
    """

    gpus: int
    budget: MemoryBudget | None
    host: HostShare | None
    refused: tuple[str, ...]


def choose_gpus(
    architecture: Architecture,
    quantization: Quantization,
    context_length: int,
    model: ModelSpec,
    accelerator: Accelerator,
    node: NodeShape,
    sidecar: Sidecar = NO_SIDECAR,
) -> Fitting:
    """The smallest number of GPUs that fits, or the number that the user asked for if it fits."""
    asked = model.tensor_parallelism
    sizes = (asked,) if asked else tuple(size for size in SIZES if size <= node.gpus)
    refused: list[str] = []
    for size in sizes:
        host = host_share(node, size, sidecar)
        budget = memory_budget(architecture, quantization, accelerator, size, model.gpu_memory_utilization, host)
        why_not = (
            (f"a node has {node.gpus} GPUs" if size > node.gpus else "")
            or parallelism_obstacle(architecture, quantization, size)
            or _memory_obstacle(budget, context_length, model.min_concurrency)
            or _host_obstacle(catalog.device(accelerator.device), host, size)
        )
        if not why_not:
            return Fitting(size, budget, host, tuple(refused))
        refused.append(f"{size} x {accelerator.name}: {why_not}")
    return Fitting(0, None, None, tuple(refused))


def _memory_obstacle(budget: MemoryBudget, context_length: int, min_concurrency: float) -> str:
    needed = context_length * min_concurrency
    if budget.kv_step_gib is not None and budget.kv_cache_gib <= 0:
        return (
            f"of the {budget.usable_gib:.1f} GiB that the engine may use, weights ({budget.weights_gib:.1f} GiB), "
            f"activations ({budget.activation_gib:.1f}) and the rest ({budget.non_torch_gib:.1f}) leave less than "
            f"{budget.kv_step_gib:g} GiB, the least KV cache"
        )
    if budget.kv_cache_gib <= 0:
        return (
            f"weights ({budget.weights_gib:.1f} GiB), activations ({budget.activation_gib:.1f}) and the rest "
            f"({budget.non_torch_gib:.1f}) exceed the {budget.usable_gib:.1f} GiB that the engine may use of each GPU"
        )
    if budget.kv_cache_tokens < needed:
        return (
            f"{budget.kv_cache_gib:.1f} GiB are left for the KV cache, which hold {budget.kv_cache_tokens} tokens; "
            f"{min_concurrency:g} request(s) of full context length need {needed:.0f}"
        )
    return ""


def _host_obstacle(device: Device, host: HostShare, gpus: int) -> str:
    if host.memory_gib < least_memory_gib(device, gpus):
        return (
            f"the instance's share of the node's memory is {host.memory_gib:.1f} GiB and it needs "
            f"{least_memory_gib(device, gpus):.1f}"
        )
    if host.cpu < least_cpu(device, gpus):
        return f"the instance's share of the node's cores is {host.cpu:.1f} and it needs {least_cpu(device, gpus):g}"
    return ""
