"""What the Job that quantizes a model needs, and where its result lies.

llm-compressor keeps the weights in host memory and brings them to one GPU layer by layer (its documentation,
"Sequential onloading", 0.14): the GPU holds a layer, the host holds the model. A pod gets the part of a node's memory
that it has of the node's GPUs, as every pod of ours does, so the memory decides how many GPUs it asks for.
"""

from collections.abc import Iterator
from math import ceil

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import UnknownFact
from llm_serving.errors import LEAVE_OUT, Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.fit import GIB, weight_bytes
from llm_serving.planning.gpu_sharing import process_gpu
from llm_serving.planning.host import NO_SIDECAR, HostShare, SidecarRequests, host_share, image_storage_gib
from llm_serving.planning.node_room import PodSize
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import (
    AttentionKind,
    ModelFacts,
    Quantization,
    QuantizationScheme,
    QuantizationSpec,
    ReleaseSpec,
    Task,
    content_hash,
)

FOLDER = "quantized"
"""Where results lie in the model cache; no model is called so."""

PROCESS_GIB = 6
"""Host memory of Python, torch, llm-compressor and CUDA's context beside weights and data. An assumption on the safe
side: on a CPU it takes 1.2 GiB."""

CONTEXT_GIB = 1.5
"""Memory of a GPU outside of PyTorch's tensors, and what its allocator loses in fragments. An assumption."""

_OTHER_CHECKPOINT = Suggestion("a checkpoint that the publisher quantized", needs=Needs.ELSEWHERE)

_STORED_ONLY = frozenset(
    {
        Quantization.INT8,
        Quantization.AWQ,
        Quantization.GPTQ,
        Quantization.GGUF,
        Quantization.MXFP4,
        Quantization.NVFP4,
    }
)
"""What no engine makes of 16-bit weights while it loads them: a release that says it has weights that are stored so."""


class QuantizationPlan(Frozen):
    """The Job, decided.

    Attributes:
        gpus: GPUs that it asks for, to get the memory that belongs to them; it computes on one.
        cpu: cores to request.
        memory_gib: memory in GiB, request and limit alike.
        shm_gib: size of ``/dev/shm`` in GiB.
        image_gib: ephemeral storage of the node in GiB for its image.
        cached_gib: ephemeral storage of the node in GiB that the model cache's driver fills.
        result_gib: the result in GiB, which lies on the node until it is in the cache.
        repository: the result as the loader names it.
        revision: changes with all that the result is made of.
        makes: what a release says of the result.
        reasons: why, by field.
    """

    gpus: int
    cpu: float
    memory_gib: float
    shm_gib: float
    image_gib: float
    cached_gib: float
    result_gib: float
    repository: str
    revision: str
    makes: Quantization
    reasons: dict[str, str]

    @property
    def folder(self) -> str:
        """Where the result lies, from the root of the model cache on."""
        return f"{self.repository}/{self.revision}"

    @property
    def pod(self) -> PodSize:
        """What its pod takes of a node."""
        return PodSize(self.gpus, self.image_gib + self.cached_gib + ceil(self.result_gib))


def repository_of(name: str) -> str:
    """A result as the loader names it."""
    return f"{FOLDER}/{name}"


def revision_of(spec: QuantizationSpec, base: ReleaseSpec) -> str:
    """40 hexadecimal digits that change with the weights, the scheme, the calibration and the program. Not with the
    text that lies at the path of the calibration, nor with where the Job runs."""
    image = spec.image
    made_of = {
        "repository": base.model.repository,
        "revision": base.model.revision,
        "scheme": spec.scheme.value,
        "calibration": None if spec.calibration is None else spec.calibration.model_dump(mode="json"),
        "image": image.digest or f"{image.repository}:{image.tag}",
    }
    return content_hash(made_of)[:40]


def plan_quantization(
    spec: QuantizationSpec,
    base: ReleaseSpec,
    node: NodeShape,
    cloud: Cloud,
    sidecar: SidecarRequests = NO_SIDECAR,
) -> QuantizationPlan:
    """Decide everything about the Job that quantizes the weights of ``base`` on ``node``.

    Args:
        spec: what is asked for.
        base: the release whose weights are quantized.
        node: a node of the pool.
        cloud: where the node is, and what else could be bought there.
        sidecar: requests of the containers beside it, such as the model cache's driver.

    Raises:
        ProblemsError: paths are relative to the :class:`QuantizationSpec`; the suggestion is the smallest choice that
            works.
    """
    try:
        facts = catalog.model_facts(base.model)
        accelerator = process_gpu(node)
    except UnknownFact as unknown:
        path = "pool" if unknown.kind == "accelerator" else "base.release"
        raise ProblemsError([Problem(path, unknown.name, "is not in the catalog", unknown.nearest)]) from None
    problems = [*_base_problems(base, facts), *_calibration_problems(spec, facts), *_width_problems(spec, facts)]
    if problems:
        raise ProblemsError(problems)
    needed = host_gib(spec, facts)
    on_gpu = gpu_gib(spec, facts)
    if accelerator.memory_gib is None:
        needed += on_gpu
    elif on_gpu > accelerator.memory_gib:
        raise ProblemsError([_too_small(spec, node, cloud, needed, on_gpu, sidecar)])
    share = _share(node, needed, sidecar)
    if share is None:
        raise ProblemsError([_too_small(spec, node, cloud, needed, on_gpu, sidecar)])
    gpus, host = share
    weights = weight_bytes(facts, Quantization.NONE) / GIB
    return QuantizationPlan(
        gpus=gpus,
        cpu=host.cpu,
        memory_gib=host.memory_gib,
        shm_gib=host.shm_gib,
        image_gib=image_storage_gib(node, gpus),
        cached_gib=ceil(sidecar.cached_gib(weights)),
        result_gib=round(result_bytes(spec, facts) / GIB, 2),
        repository=repository_of(spec.name),
        revision=revision_of(spec, base),
        makes=spec.scheme.makes,
        reasons={
            "gpus": f"the memory that belongs to {gpus} of the node's {node.gpus} holds {needed:.1f} GiB; it computes "
            "on one",
            "memory_gib": f"{needed:.1f} GiB are needed: {weights:.1f} of weights, "
            f"{result_bytes(spec, facts) / GIB:.1f} of the result, {calibration_gib(spec, facts):.1f} of calibration, "
            f"{PROCESS_GIB} of the process",
            "result_gib": "on the node's disk until it is in the cache",
            "revision": "of the base's weights, the scheme, the calibration and the image",
        },
    )


def result_bytes(spec: QuantizationSpec, facts: ModelFacts) -> float:
    """Bytes of the result: linear layers as the scheme stores them, embeddings and output projection in 16 bits."""
    return weight_bytes(facts.model_copy(update={"weights": {}}), spec.scheme.makes)


def calibration_gib(spec: QuantizationSpec, facts: ModelFacts) -> float:
    """Host memory of calibration in GiB: what every token is before and after a layer, in 16 bits."""
    if spec.calibration is None:
        return 0
    tokens = spec.calibration.samples * spec.calibration.sequence_length
    return 2 * 2 * tokens * facts.hidden_size / GIB


def host_gib(spec: QuantizationSpec, facts: ModelFacts) -> float:
    """Host memory that the Job needs, in GiB: weights, their result beside them while it is written, calibration."""
    weights = weight_bytes(facts, Quantization.NONE) + result_bytes(spec, facts)
    return weights / GIB + calibration_gib(spec, facts) + PROCESS_GIB


def gpu_gib(spec: QuantizationSpec, facts: ModelFacts) -> float:
    """Memory of a GPU that the Job needs, in GiB: one layer, and for GPTQ a 32-bit Hessian as wide as the input of each
    of its matrices, three copies of the widest while it is inverted, and the largest matrix twice in 32 bits; or the
    output projection with the logits of one sequence. An estimate: it was not measured."""
    hidden, width = facts.hidden_size, facts.intermediate_size
    head_dim = max((group.head_dim or 0 for group in facts.layers), default=0) or hidden // facts.heads
    queries, keys = facts.heads * head_dim, facts.kv_heads * head_dim
    layer = 2 * (2 * hidden * queries + 2 * hidden * keys + 3 * hidden * width)
    solver = 0
    if spec.scheme in (QuantizationScheme.W8A8, QuantizationScheme.W4A16):
        solver = 4 * (5 * hidden**2 + queries**2 + width**2) + 3 * 4 * max(hidden, queries, width) ** 2
        solver += 2 * 4 * hidden * max(width, queries)
    length = spec.calibration.sequence_length if spec.calibration else 0
    passing = 2 * length * (4 * hidden + 2 * queries + 3 * width)
    projection = 2 * facts.vocabulary * hidden + 4 * length * facts.vocabulary
    return max(layer + solver + passing, projection) / GIB + CONTEXT_GIB


def _share(node: NodeShape, needed: float, sidecar: SidecarRequests) -> tuple[int, HostShare] | None:
    """The fewest GPUs to which enough host memory belongs; ``None`` where all that a pod may ask for do not have it: of
    GPUs that are shared, one part."""
    most = 1 if node.is_shared else node.gpus
    shares = ((gpus, host_share(node, gpus, sidecar)) for gpus in range(1, most + 1))
    return next(((gpus, host) for gpus, host in shares if host.memory_gib >= needed and host.cpu > 0), None)


def _base_problems(base: ReleaseSpec, facts: ModelFacts) -> Iterator[Problem]:
    stored = facts.quantization.method if facts.quantization else None
    if stored is None and base.quantization in _STORED_ONLY:
        stored = base.quantization.value
    if stored is not None:
        reason = f"its weights are quantized already ({stored})"
        yield Problem(
            "base.release", base.version, reason, Suggestion("a release of the 16-bit weights", needs=Needs.ELSEWHERE)
        )
    if facts.experts is not None:
        reason = f"it is a mixture of {facts.experts.count} experts, each of which needs calibration of its own"
        yield Problem("base.release", base.version, reason, _OTHER_CHECKPOINT)
    if facts.encoders:
        reason = f"it reads {facts.encoders[0].modality} beside text, and the quantizer takes text alone"
        yield Problem("base.release", base.version, reason, _OTHER_CHECKPOINT)
    if facts.task is not Task.GENERATE:
        reason = f"its task is {facts.task}, and the quantizer takes models that write text"
        yield Problem(
            "base.release",
            base.version,
            reason,
            Suggestion("a release of a model that writes text", needs=Needs.ELSEWHERE),
        )
    if any(group.attention in (AttentionKind.STATE, AttentionKind.NONE) for group in facts.layers):
        reason = "not all of its layers have attention, and the quantizer's recipes are for those that do"
        yield Problem("base.release", base.version, reason, _OTHER_CHECKPOINT)


def _calibration_problems(spec: QuantizationSpec, facts: ModelFacts) -> Iterator[Problem]:
    calibration = spec.calibration
    if calibration is None:
        if spec.scheme.calibrates:
            reason = f"{spec.scheme} needs text that the model reads while it is quantized"
            free = QuantizationScheme.FP8_DYNAMIC.value
            hint = f"a folder of the cache with text; or scheme {free}"
            yield Problem("calibration", None, reason, Suggestion(hint, edits=[{"scheme": free}]))
        return
    if not spec.scheme.calibrates:
        yield Problem("calibration", calibration.path, f"{spec.scheme} calibrates nothing", LEAVE_OUT)
    if calibration.sequence_length > facts.max_context:
        reason = f"{facts.architecture} was made for at most {facts.max_context} tokens"
        shorter = Suggestion(values=[min(2048, facts.max_context)])
        yield Problem("calibration.sequenceLength", calibration.sequence_length, reason, shorter)


def _width_problems(spec: QuantizationSpec, facts: ModelFacts) -> Iterator[Problem]:
    group = spec.scheme.group_size
    uneven = [width for width in (facts.hidden_size, facts.intermediate_size) if width % group]
    if uneven:
        reason = f"its groups of {group} weights do not divide a width of {uneven[0]}"
        # It calibrates nothing.
        even = {"": QuantizationScheme.FP8_DYNAMIC.value, "calibration": None}
        hint = f"{QuantizationScheme.FP8_DYNAMIC}, without calibration"
        yield Problem("scheme", spec.scheme.value, reason, Suggestion(hint, edits=[even]))


def _too_small(
    spec: QuantizationSpec,
    node: NodeShape,
    cloud: Cloud,
    needed: float,
    on_gpu: float,
    sidecar: SidecarRequests,
) -> Problem:
    gpu = process_gpu(node)
    if gpu.memory_gib is not None and on_gpu > gpu.memory_gib:
        reason = f"a layer and what its quantization needs take {on_gpu:.1f} GiB of a GPU, and {node.gpu_label} has "
        reason += f"{gpu.memory_gib:.1f}"
    else:
        most = host_share(node, 1 if node.is_shared else node.gpus, sidecar).memory_gib
        owner = f"a part of a node with {node.gpu_label}" if node.is_shared else "a node of the pool"
        reason = f"the Job needs {needed:.1f} GiB of memory, and {owner} has {most:.1f} for it"
    return Problem("pool", spec.pool, reason, _larger_node(cloud, needed, on_gpu, sidecar))


def _larger_node(cloud: Cloud, needed: float, on_gpu: float, sidecar: SidecarRequests) -> Suggestion:
    """The smallest machine on which the Job fits."""

    def fits(node: NodeShape) -> bool:
        memory = process_gpu(node).memory_gib
        return memory is not None and memory >= on_gpu and _share(node, needed, sidecar) is not None

    nodes = cloud.gpu_nodes()
    fitting = sorted((node.gpus, node.memory_gib, name) for name, node in nodes.items() if fits(node))
    if fitting:
        return Suggestion(f"a pool of {fitting[0][2]}", needs=Needs.CHOICE)
    hint = f"a pool whose nodes have {ceil(needed)} GiB for pods and GPUs of {ceil(on_gpu)} GiB"
    return Suggestion(hint, needs=Needs.CHOICE)
