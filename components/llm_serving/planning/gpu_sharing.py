"""Parts of GPUs: how many pods a GPU serves, and what a process sees of it.

An instance of MIG is a GPU with less of everything. Of a GPU that pods share in turns each process sees the whole
memory, and has to be told to use its part only.
"""

from collections.abc import Iterator
from math import floor

from llm_serving import catalog
from llm_serving.catalog import Accelerator, MigProfile, UnknownFact
from llm_serving.errors import nearest
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import SharingSpec

_STEP_TOKENS = ((160, 16384), (70, 8192), (0, 2048))
"""Memory in GiB from which on a step of vLLM's server has so many tokens by default (``EngineArgs.get_batch_defaults``
of 0.32.0)."""


def parts_of_gpu(accelerator: str, sharing: SharingSpec | None) -> int:
    """How many pods a GPU of a pool serves.

    Raises:
        UnknownFact: for a MIG profile that the GPU does not have, or whose memory is not known.
    """
    if sharing is None:
        return 1
    return sharing.clients or 1 if sharing.partition is None else _profile(accelerator, sharing.partition).instances


def share_gpus(node: NodeShape, sharing: SharingSpec | None) -> NodeShape:
    """The node with its whole GPUs shared.

    Raises:
        UnknownFact: as :func:`parts_of_gpu`.
    """
    if sharing is None:
        return node
    parts = parts_of_gpu(node.accelerator, sharing)
    clients = sharing.clients if sharing.partition is None else None
    return node.model_copy(update={"gpus": node.gpus * parts, "partition": sharing.partition, "clients": clients or 1})


def process_gpu(node: NodeShape) -> Accelerator:
    """What a pod of the node can use of a GPU, as an accelerator. Bandwidth and throughput of a part are not known.

    Raises:
        UnknownFact: for an accelerator that is not in the catalog, and as :func:`parts_of_gpu`.
    """
    gpu = catalog.accelerator(node.accelerator)
    if not node.is_shared:
        return gpu
    part = {
        "name": node.gpu_label,
        "bandwidth_gb_s": None,
        "bf16_tflops": None,
        "fp16_tflops": None,
        "tf32_tflops": None,
        "fp8_tflops": None,
        "int8_tops": None,
    }
    if node.partition is None:
        memory = None if gpu.memory_gib is None else gpu.memory_gib / node.clients
        return gpu.model_copy(update=part | {"memory_gib": memory})
    memory = _profile(gpu.name, node.partition).memory_gib or 0
    default = next(tokens for least, tokens in _STEP_TOKENS if memory >= least)
    return gpu.model_copy(update=part | {"memory_gib": memory, "step_tokens": min(gpu.step_tokens, default)})


def share_of_whole(node: NodeShape, share: float) -> float:
    """A share of what a pod can use of a GPU as a share of what its process sees, rounded down to thousandths where
    pods take turns."""
    return share if node.clients == 1 else floor(share / node.clients * 1000) / 1000


def roomier(node: NodeShape) -> Iterator[tuple[str, NodeShape]]:
    """The same node with larger parts of its GPUs, smallest first, each with the setting of the pool that makes it;
    last with whole GPUs. None for a node whose GPUs are whole."""
    if not node.is_shared:
        return
    now = process_gpu(node).memory_gib or 0
    whole_gpus = node.gpus // parts_of_gpu(node.accelerator, _sharing(node))
    whole = node.model_copy(update={"gpus": whole_gpus, "partition": None, "clients": 1})
    if node.partition is not None:
        profiles = _known_profiles(node.accelerator)
        for profile in sorted(profiles, key=lambda profile: (profile.memory_gib or 0, -profile.instances)):
            if (profile.memory_gib or 0) > now:
                setting = f"sharing.partition: {profile.profile} in the pool"
                yield setting, share_gpus(whole, SharingSpec(partition=profile.profile))
    else:
        for clients in range(node.clients - 1, 1, -1):
            yield f"sharing.clients: {clients} in the pool", share_gpus(whole, SharingSpec(clients=clients))
    yield "a pool without sharing", whole


def _sharing(node: NodeShape) -> SharingSpec:
    return SharingSpec(partition=node.partition, clients=node.clients if node.clients > 1 else None)


def _profile(accelerator: str, name: str) -> MigProfile:
    known = {profile.profile: profile for profile in _known_profiles(accelerator)}
    if name not in known:
        raise UnknownFact(f"MIG profile of {accelerator}", name, nearest(name, known))
    return known[name]


def _known_profiles(accelerator: str) -> list[MigProfile]:
    return [profile for profile in catalog.mig_profiles(accelerator).values() if profile.memory_gib is not None]
