"""The shapes of facts. Values, their sources and their dates are in ``data/``; decisions are not here."""

import datetime
from enum import StrEnum

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec import AttentionKind, EngineName, ExpertFacts, LayerFacts, Market, ModelFacts, Quantization


class LocalSsd(StrEnum):
    """How a machine type comes to local SSDs."""

    NONE = "none"
    OPTIONAL = "optional"
    BUNDLED = "bundled"


class Device(Frozen):
    """What an engine takes of its host and of its accelerator, by the device that it computes on.

    Attributes:
        device: ``cuda`` or ``cpu``.
        front_memory_gib: host memory of front end and scheduler in GiB.
        worker_memory_gib: host memory of the worker of each accelerator in GiB.
        front_cpu, worker_cpu: cores without which they crawl.
        context_gib, context_parallel_gib: accelerator memory outside PyTorch's allocator without and with tensor
            parallelism, in GiB.
        kv_step_gib: the engine is told how much KV cache to take, in whole steps of so many GiB; ``None`` where it
            measures what is left itself.
        compiles: the engine compiles the model before it serves.
        init_seconds: from loaded weights to the first answer.
        source, date: where the values come from and when they were read.
    """

    device: str
    front_memory_gib: float
    worker_memory_gib: float
    front_cpu: float
    worker_cpu: float
    context_gib: float
    context_parallel_gib: float
    kv_step_gib: float | None
    compiles: bool
    init_seconds: int
    source: str
    date: str


class Accelerator(Frozen):
    """One GPU, or a part of a CPU. Throughputs are dense (no structured sparsity); ``None`` means that there is no such
    mode, or that it depends on the host.

    Attributes:
        name: our name, for example ``H100-80GB``.
        device: what the engine computes on (:class:`Device`).
        resource: extended resource that a pod requests; ``None`` where it needs none.
        memory_gb: memory as marketed, a label rather than a quantity; ``None`` where it is the host's.
        memory_gib: total device memory as a process sees it, in GiB (2**30 bytes): what engines count with; ``None``
            where it is the host's.
        step_tokens: tokens of one step of the engine's server by default.
        bandwidth_gb_s: memory bandwidth, 10**9 bytes a second.
        bf16_tflops, fp16_tflops, tf32_tflops, fp8_tflops: dense throughput in 10**12 operations a second.
        int8_tops: dense integer throughput in 10**12 operations a second.
        compute_capability: CUDA compute capability, for example ``9.0``; ``None`` for other devices.
        interconnect: how GPUs of one node reach each other.
        interconnect_gb_s: its speed per GPU, both directions together, 10**9 bytes a second.
        form: form of the board.
        accelerates: quantizations in which the tensor cores compute.
        weight_only: quantizations that save memory only; the arithmetic stays 16 bits.
        sold_by: clouds with a machine type that has this GPU; empty for GPUs of existing clusters only.
        source, date: where the values come from and when they were read.
    """

    name: str
    device: str
    resource: str | None
    memory_gb: float | None
    memory_gib: float | None
    step_tokens: int
    bandwidth_gb_s: float | None
    bf16_tflops: float | None
    fp16_tflops: float | None
    tf32_tflops: float | None
    fp8_tflops: float | None
    int8_tops: float | None
    compute_capability: str | None
    interconnect: str | None
    interconnect_gb_s: float | None
    form: str
    accelerates: frozenset[Quantization]
    weight_only: frozenset[Quantization]
    sold_by: tuple[str, ...] = ()
    source: str
    date: str

    @property
    def batch(self) -> int:
        """Requests that the engine runs at once by default: vLLM chooses it together with the tokens of a step
        (``EngineArgs.get_batch_defaults`` of 0.32.0)."""
        return 1024 if self.step_tokens > 2048 else 128 if self.memory_gib is None else 256

    @property
    def reaches_peers_by_pcie(self) -> bool:
        """Whether the GPUs of a node have nothing but PCIe between them."""
        return self.form == "PCIe"

    def runs(self, quantization: Quantization) -> bool:
        """Whether the engine has kernels for this quantization on this GPU; 16 bits always run."""
        return quantization is Quantization.NONE or quantization in self.accelerates or quantization in self.weight_only


class MigProfile(Frozen):
    """A kind of instance that MIG divides a GPU into.

    Attributes:
        accelerator: the whole GPU in the catalog.
        profile: NVIDIA's name, for example ``1g.10gb``.
        instances: how many of them one GPU is divided into.
        memory_gib: memory that a process sees of one, in GiB; ``None`` where it is not known.
        date: when that was read.
    """

    accelerator: str
    profile: str
    instances: int
    memory_gib: float | None
    date: str


class MachineType(Frozen):
    """A machine that a cloud sells.

    Attributes:
        cloud: ``gcp`` or ``aws``.
        name: the cloud's name.
        series: the cloud's series, for example ``a3-highgpu``; quotas are kept by series.
        accelerator: GPU in the catalog; ``None`` for machines without one.
        gpus: GPUs of one machine.
        vcpus: virtual cores.
        memory_gib: memory of the machine in GiB, before anything is reserved.
        local_ssd: whether local SSDs are always there, can be attached, or neither.
        local_ssd_disks: how many of them there are, or can be at most.
        local_ssd_gib: their size together.
        efa_interfaces: most interfaces of AWS's Elastic Fabric Adapter, by which GPUs of several nodes reach each
            other; 0 for machines without it and on other clouds.
        efa_first_card: the first network card that can have one, each of the next has one too.
        accelerator_label: value of GKE's node label ``cloud.google.com/gke-accelerator``; ``None`` elsewhere.
        zones: zones that offer the machine; empty where that is not known (it never means "nowhere").
        regions: regions that offer it; empty where that is not known.
        markets: terms on which it is sold, reservations aside; empty where that is not known.
        source, date: where the values come from and when they were read.
        notes: doubts about the values.
    """

    cloud: str
    name: str
    series: str
    accelerator: str | None
    gpus: int
    vcpus: int
    memory_gib: float
    local_ssd: LocalSsd
    local_ssd_disks: int
    local_ssd_gib: float
    efa_interfaces: int = 0
    efa_first_card: int = 0
    accelerator_label: str | None
    zones: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    markets: frozenset[Market] = frozenset()
    source: str
    date: str
    notes: str = ""


class Price(Frozen):
    """Price of one machine in one region, GPUs included, in USD an hour.

    Attributes:
        on_demand: ``None`` where the price is not known.
        spot: the price at the time of reading; ``None`` where it is not known.
    """

    cloud: str
    machine_type: str
    region: str
    on_demand: float | None = Field(alias="on_demand_usd_per_hour")
    spot: float | None = Field(alias="spot_usd_per_hour")


class QuotaMetric(Frozen):
    """The quota that machines of a series count against in one market.

    Attributes:
        name: the cloud's name of the quota.
        code: AWS's quota code; empty on GCP, whose name is the key.
        unit: what one machine takes of it: ``gpu`` or ``vcpu``.
    """

    cloud: str
    series: str
    market: Market
    name: str
    code: str
    unit: str
    date: str


class EksVersion(Frozen):
    """Until when EKS supports a Kubernetes version.

    Attributes:
        version: for example ``1.35``.
        standard_until: last day of standard support.
        extended_until: last day of extended support, which costs extra.
        date: when that was read.
    """

    version: str
    standard_until: datetime.date
    extended_until: datetime.date
    date: str


class EngineImage(Frozen):
    """What is known of an engine's image.

    Attributes:
        image: last part of its repository.
        user_id: user other than root that it knows by name.
        user: that name.
        checked: where the user was seen.
        date: when that was read.
    """

    image: str
    user_id: int
    user: str
    checked: str
    date: str


class QuantizationQuality(Frozen):
    """What one quantized checkpoint scores in one benchmark.

    Attributes:
        base: repositories of the 16-bit weights.
        checkpoint: repository of the quantized ones.
        quantization: how they are quantized, as a release names it.
        benchmark: which.
        score_percent: its score, in percent of that of the 16-bit weights.
        source, date: where that comes from and when it was read.
    """

    base: tuple[str, ...]
    checkpoint: str
    quantization: Quantization
    benchmark: str
    score_percent: float
    source: str
    date: str


class StartupStage(StrEnum):
    """The stages of a cold start, one after the other."""

    NODE_START = "node-start"
    IMAGE_PULL = "image-pull"
    WEIGHTS = "weights"
    COMPILE = "compile"
    GRAPHS = "graphs"
    INIT = "init"
    WARM_UP = "warm-up"


class Basis(StrEnum):
    """How sure an estimate is."""

    MEASURED = "measured"
    PUBLISHED = "published"
    ASSUMPTION = "assumption"


class StartupUnit(StrEnum):
    """What an estimate of a stage counts in."""

    SECONDS = "s"
    BYTES_A_SECOND = "bytes/s"
    SECONDS_A_GRAPH = "s/graph"


class StartupEstimate(Frozen):
    """How long a stage of a cold start takes, gone through in one way.

    Attributes:
        stage: which stage.
        variant: in which way, for example ``pulled`` or ``streamed`` for an image.
        cloud: ``gcp``, ``aws`` or ``existing``; ``any`` for all.
        device: what the engine computes on (:class:`Device`); ``any`` for all.
        amount: how much of ``unit``.
        unit: seconds, a rate, or seconds for each of several.
        basis: who found out.
        source, date: where the value comes from and when it was read.
    """

    stage: StartupStage
    variant: str
    cloud: str
    device: str
    amount: float
    unit: StartupUnit
    basis: Basis
    source: str
    date: str


class Feature(StrEnum):
    """What a stack or a release can ask of an engine. Quantizations stand here under their own names."""

    TENSOR_PARALLEL = "tensor-parallel"
    PIPELINE_PARALLEL = "pipeline-parallel"
    DATA_PARALLEL = "data-parallel"
    EXPERT_PARALLEL = "expert-parallel"
    MULTI_NODE = "multi-node"
    AWQ = "awq"
    GPTQ = "gptq"
    FP8 = "fp8"
    INT8 = "int8"
    BITSANDBYTES = "bitsandbytes"
    GGUF = "gguf"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    CHUNKED_PREFILL = "chunked-prefill"
    PREFIX_CACHING = "prefix-caching"
    MAX_BATCHED_TOKENS = "max-batched-tokens"
    MAX_SEQUENCES = "max-sequences"
    MAX_QUEUED_REQUESTS = "max-queued-requests"
    MAX_QUEUED_TOKENS = "max-queued-tokens"
    LORA = "lora"
    TOOL_PARSER = "tool-parser"
    REASONING_PARSER = "reasoning-parser"
    STRUCTURED_OUTPUTS_OFF = "structured-outputs-off"
    STREAM_WEIGHTS = "stream-weights"
    GRAPH_SIZES = "graph-sizes"
    MEDIA_PER_PROMPT = "media-per-prompt"
    SHUTDOWN_TIMEOUT = "shutdown-timeout"
    CHAT_TEMPLATE = "chat-template"
    SAMPLING_DEFAULTS = "sampling-defaults"
    KV_CACHE_FP8 = "kv-cache-fp8"
    POOLING = "pooling"
    CPU = "cpu"


class EngineFeature(Frozen):
    """Whether an engine can do something.

    Attributes:
        engine: the engine.
        feature: what.
        has: whether it can.
        why: why not; empty where it can.
        source, date: where that comes from and when it was read.
    """

    engine: EngineName
    feature: Feature
    has: bool
    why: str = ""
    source: str
    date: str


class FlagKind(StrEnum):
    """What follows a flag."""

    SWITCH = "switch"
    """Nothing; ``--no-<flag>`` is the opposite."""
    PRESENCE = "presence"
    """Nothing; there is no opposite."""
    INTEGER = "integer"
    SIZE = "size"
    """A whole number, also with a suffix: ``16k``."""
    NUMBER = "number"
    JSON = "json"
    """A JSON object or list."""
    JSON_OR_TEXT = "json-or-text"
    NAME = "name"
    """One of the choices, in upper or lower case."""
    LIST = "list"
    """One or more values."""
    TEXT = "text"


class EngineFlag(Frozen):
    """A flag that an engine's own parser knows.

    Attributes:
        engine, version: the engine.
        flag: its name, without dashes.
        kind: what follows it.
        alias_of: its first name, where this is another one.
        choices: values that are accepted; empty where any is.
        bounds: of a number, such as ``>=0``.
        source, date: where that comes from and when it was read.
    """

    engine: EngineName
    version: str
    flag: str
    kind: FlagKind
    alias_of: str | None
    choices: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    source: str
    date: str


class EngineSetting(Frozen):
    """What decides a flag that a stack may therefore not give.

    Attributes:
        engine: the engine.
        flag: its name, without dashes.
        setting: setting of the model or of the release that decides it; ``None`` where none does.
        why: reason where there is no such setting.
    """

    engine: EngineName
    flag: str
    setting: str | None
    why: str | None


class Architecture(Frozen):
    """Shape of a transformer.

    Attributes:
        name: our name, for example ``llama-3.1-8b``.
        layers: transformer blocks.
        hidden_size: width of the residual stream.
        heads: query heads.
        kv_heads: key and value heads (grouped-query attention); all of them where it equals ``heads``.
        head_dim: width of one head.
        intermediate_size: width of the MLP, of one expert in a mixture of experts.
        vocabulary: rows of the embedding table.
        tied_embeddings: the output projection is the embedding table.
        experts, experts_active: experts of a layer and how many one token uses; 1 and 1 for dense models.
        parameters: all parameters; weights in memory follow from it.
        parameters_active: parameters that one token passes through.
        max_context: longest context the model was made for, in tokens.
        repository: the publisher's repository on the Hugging Face hub.
        source, date: where the values come from and when they were read.
    """

    name: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    tied_embeddings: bool
    experts: int
    experts_active: int
    parameters: int
    parameters_active: int
    max_context: int
    repository: str
    source: str
    date: str

    @property
    def facts(self) -> ModelFacts:
        """The same in the form in which releases carry it."""
        layer = LayerFacts(
            attention=AttentionKind.FULL, count=self.layers, kv_heads=self.kv_heads, head_dim=self.head_dim
        )
        mixture = ExpertFacts(
            count=max(2, self.experts),
            active=self.experts_active,
            width=self.intermediate_size,
            layers=self.layers,
        )
        return ModelFacts(
            architecture=self.name,
            layers=(layer,),
            hidden_size=self.hidden_size,
            heads=self.heads,
            intermediate_size=self.intermediate_size,
            vocabulary=self.vocabulary,
            tied_embeddings=self.tied_embeddings,
            max_context=self.max_context,
            experts=mixture if self.experts > 1 else None,
            parameters=self.parameters,
        )
