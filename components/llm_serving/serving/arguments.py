"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import Any, NotRequired, TypedDict


class TeamArgs(TypedDict):
    """A team: one namespace, one GPU quota, the groups that may look and the groups that may change."""

    name: str
    """Also the namespace."""
    gpu_quota: NotRequired[int]
    """Most GPUs that the team's pods may ask for, where the team names it itself."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods ask the team's models, beside its own; of a stack with a gateway, ask the gateway."""
    viewers: NotRequired[list[str]]
    """Groups (as the cloud names them) with read access to the namespace, Secrets excluded."""
    editors: NotRequired[list[str]]
    """Groups that may also change workloads."""
    editors_exec: NotRequired[bool]
    """Editors may run commands in the team's pods, for example `nvidia-smi`; false by default."""
    stays_in_cluster: NotRequired[bool]
    """What its keys ask never leaves the cluster: no hosted provider may stand in for a model; false by default."""


class CanaryArgs(TypedDict):
    """A release that gets a part of the requests."""

    release: str
    """Its version."""
    weight: int
    """Percent of the requests that the gateway sends to it."""
    replicas: NotRequired[int]
    """Instances to start with; where the model scales, the fewest."""


class ReleaseChoiceArgs(TypedDict):
    """Which releases of a model are served. Each has instances of its own."""

    stable: str
    """Version that serves, for example `1.4.0`."""
    canary: NotRequired[CanaryArgs]
    """Version that gets a share of the requests beside it."""
    previous: NotRequired[str]
    """Version that stays ready, with one instance, for a way back."""


class ScheduleArgs(TypedDict):
    """A floor for the number of instances in a part of the week."""

    start: str
    """Cron expression (five fields) of its begin."""
    end: str
    """Cron expression of its end."""
    timezone: NotRequired[str]
    """Name in the IANA data base; `Etc/UTC` by default."""
    replicas: int
    """Instances that there are at least."""


class ScalingPaceArgs(TypedDict):
    """How fast the number of instances may change."""

    up_seconds: NotRequired[int]
    """A demand must last that long before instances are added; 0 by default."""
    up_percent: NotRequired[int]
    """Share of the present instances that may be added in 15 seconds; 100 by default."""
    down_seconds: NotRequired[int]
    """A lull must last that long before instances are taken away; 300 by default."""
    down_percent: NotRequired[int]
    """Share of the present instances that may be taken away in a minute; 50 by default."""


class AutoscalingArgs(TypedDict):
    """Bounds and signals of a release's autoscaling. The number wanted is the largest that any signal asks for."""

    min: NotRequired[int]
    """Fewest instances; 1 by default."""
    max: int
    """Most instances."""
    queue_depth: NotRequired[float]
    """Requests that may wait an instance; 10 by default."""
    ttft_seconds: NotRequired[float]
    """Objective for the time to the first token (95th percentile)."""
    gpu_utilization: NotRequired[int]
    """Percent of GPU utilization above which instances are added while requests wait; 80 by default."""
    schedules: NotRequired[list[ScheduleArgs]]
    """Floors by time."""
    pace: NotRequired[ScalingPaceArgs]
    """How fast."""
    polling_seconds: NotRequired[int]
    """How often the signals are read; 15 by default."""
    idle_seconds: NotRequired[int]
    """How long nobody must have asked before the last instance is taken away, where ``min`` is 0; 900 by default."""


class EngineArgs(TypedDict):
    """Options of the engine. What is left out is the engine's own default."""

    pipeline_parallelism: NotRequired[int]
    """Stages that the layers are cut into."""
    data_parallelism: NotRequired[int]
    """Whole copies of the model in one instance, behind one API."""
    expert_parallel: NotRequired[bool]
    """Spread the experts of a mixture over all GPUs of the instance."""
    nodes: NotRequired[int]
    """Nodes of one instance; more than one makes a LeaderWorkerSet."""
    chunked_prefill: NotRequired[bool]
    """Mix parts of long prompts with the tokens of running requests."""
    prefix_caching: NotRequired[bool]
    """Keep the KV cache of common beginnings."""
    max_batched_tokens: NotRequired[int]
    """Tokens of one step of the engine."""
    max_sequences: NotRequired[int]
    """Requests in one batch."""
    max_queued_requests: NotRequired[int]
    """Requests that may wait before the engine answers 503."""
    max_queued_tokens: NotRequired[int]
    """Prompt tokens that may wait before the engine answers 503."""
    structured_outputs: NotRequired[bool]
    """Allow answers that must match a grammar or a JSON schema."""
    max_loras: NotRequired[int]
    """Adapters that a batch can hold at once."""
    max_lora_rank: NotRequired[int]
    """Largest rank of an adapter that is accepted."""
    media_per_prompt: NotRequired[dict[str, int]]
    """Most pictures, videos and pieces of sound of one request."""
    stream_weights: NotRequired[bool]
    """Read the weights with the Run:ai streamer."""
    graph_sizes: NotRequired[list[int]]
    """Batch sizes for which CUDA graphs are captured."""
    warm_up: NotRequired[bool]
    """Ask for a short answer before an instance counts as ready; true by default."""
    launcher: NotRequired[bool]
    """Run the engine under our launcher; true by default."""
    environment: NotRequired[dict[str, str]]
    """More environment variables of the engine, on every node of an instance."""
    flags: NotRequired[dict[str, Any]]
    """More flags of the engine, by name without dashes."""


class TimeoutsArgs(TypedDict):
    """How long to wait for an instance, in seconds. What is left out follows from the plan."""

    startup_seconds: NotRequired[int]
    """Time in which a new instance must answer; left out: twice its planned cold start."""
    capacity_seconds: NotRequired[int]
    """Time that an update also waits for a node; left out: none, and where nodes come from a queue, it does not wait
    for the instances at all."""
    stall_seconds: NotRequired[int]
    """Time after which an engine that is silent, or does nothing for its requests, is dead; 60 by default."""


class WarmPoolArgs(TypedDict):
    """Capacity that is ready before it is needed."""

    placeholders: NotRequired[int]
    """Pods of the lowest priority, each as large as an instance, that hold nodes ready and give way."""
    image: NotRequired[str]
    """Image of a program that waits; Kubernetes' own `pause` by default."""


class DrainArgs(TypedDict):
    """Times of an orderly end of an engine instance, in seconds. What is left out follows from the pool."""

    pre_stop_seconds: NotRequired[int]
    """Time in which a stopping instance still takes new requests."""
    shutdown_timeout_seconds: NotRequired[int]
    """Time that running requests get after that, before they are aborted."""
    longest_request_seconds: NotRequired[int]
    """How long the model's longest request takes."""


class ModelArgs(TypedDict):
    """One model: which release, where, how many."""

    name: str
    """Name under which clients ask for the model; also of its objects."""
    team: NotRequired[str]
    """Team that owns it; also its namespace."""
    releases: ReleaseChoiceArgs
    """Which releases serve."""
    accept_license: NotRequired[bool]
    """Confirms the licence of a gated model."""
    pool: str
    """Name of the pool."""
    service_class: NotRequired[str]
    """`critical`, `standard` (the default) or `batch`: what gives way when capacity is short."""
    replicas: NotRequired[int]
    """Number of engine instances; 1 by default. Where `autoscaling` is given, it decides."""
    autoscaling: NotRequired[AutoscalingArgs]
    """Scale by demand."""
    on_demand_base: NotRequired[int]
    """Of the instances, those that run on capacity that is not taken away."""
    engine: NotRequired[EngineArgs]
    """Options of the engine."""
    tensor_parallelism: NotRequired[int]
    """GPUs of one instance; left out: the smallest number that fits."""
    gpu_memory_utilization: NotRequired[float]
    """Share of the GPU's memory that the engine may use; 0.9 by default."""
    min_concurrency: NotRequired[float]
    """Requests of full context length that must fit the KV cache at once; 1 by default."""
    surge: NotRequired[int]
    """Instances that a rollout may start beyond `replicas`. With 0, the default, an instance ends before its
    successor starts, which needs no spare GPU."""
    drain: NotRequired[DrainArgs]
    """How an instance is taken out of service."""
    timeouts: NotRequired[TimeoutsArgs]
    """How long to wait for an instance."""
    warm_pool: NotRequired[WarmPoolArgs]
    """Capacity that is ready before it is needed."""
    compile_cache: NotRequired[bool]
    """A Job compiles the release once, and instances read what it wrote."""


class EngineReleaseArgs(TypedDict):
    """Engine and its exact version."""

    name: NotRequired[str]
    """`vllm` (the default), `sglang`, `tgi` or `triton`."""
    version: str
    """Version, for example `0.32.0`."""


class ImageReferenceArgs(TypedDict):
    """Container image."""

    repository: str
    """Repository, with its registry."""
    tag: str
    """Tag to pull where no digest is given."""
    digest: NotRequired[str]
    """`sha256:` and 64 hexadecimal digits; decides where it is given."""
    launcher: NotRequired[bool]
    """The image carries our launcher inside, as the program `llm-serving-engine`."""
    user_id: NotRequired[int]
    """User that the engine runs as, one that the image knows by name."""


class LoaderArgs(TypedDict):
    """How weights come into the model cache."""

    image: ImageReferenceArgs
    """Image with the loader (`images/model-loader`)."""
    source: NotRequired[str]
    """`hf://` (the default) for the Hugging Face hub; `gs://`, `s3://` or `file:///` for a mirror."""
    token_secret: NotRequired[str]
    """Secret in the team's namespace with the hub's token under the key `token`."""
    timeout_seconds: NotRequired[int]
    """Time in which the weights of one release must be there; left out: twice the planned time, and ten minutes."""


class ImagePullArgs(TypedDict):
    """Credentials that nodes show to the registries of images: Secrets that are there, or one made for a registry."""

    secret_names: NotRequired[list[str]]
    """Secrets of type `kubernetes.io/dockerconfigjson` that are in each team's namespace."""
    registry: NotRequired[str]
    """Registry to make a Secret for, as images name it: `registry.example.com`, without a scheme."""
    username: NotRequired[str]
    """User name at that registry."""


class EgressArgs(TypedDict):
    """How pods of models reach what is outside of the cluster, where a site prescribes it."""

    hub_endpoint: NotRequired[str]
    """Mirror of the Hugging Face hub, for example `https://hub.example.com`."""
    https_proxy: NotRequired[str]
    """Proxy for HTTPS, for example `http://proxy.example.com:3128`."""
    http_proxy: NotRequired[str]
    """Proxy for HTTP."""
    no_proxy: NotRequired[list[str]]
    """Hosts and domains (`.example.com`) that are reached without the proxy, beside the cluster's own."""
    addresses: NotRequired[list[str]]
    """Addresses of proxy and mirror, as pods see them: a network policy knows no names."""
    ca_config_map: NotRequired[str]
    """ConfigMap in the team's namespace with the site's certificates under the key `ca.crt`."""
    ca_certificates: NotRequired[str]
    """The site's certificates in PEM, of which a ConfigMap is made."""


class PrometheusAuthArgs(TypedDict):
    """How KEDA proves to a Prometheus that is already there who it is."""

    mode: str
    """`bearer`, `basic`, or `gcp` for KEDA's own identity on Google Cloud (managed Prometheus)."""
    username: NotRequired[str]
    """User name for `basic`."""


class LayerFactsArgs(TypedDict):
    """Layers of one kind."""

    attention: str
    """What they keep of a request: `full`, `sliding`, `latent`, `state` or `none`."""
    count: int
    """How many layers of the model are of this kind."""
    kv_heads: NotRequired[int]
    """Key and value heads of `full` and `sliding` layers."""
    head_dim: NotRequired[int]
    """Width of one key head."""
    value_dim: NotRequired[int]
    """Width of one value head; as wide as a key head where it is left out."""
    window: NotRequired[int]
    """Tokens that a `sliding` layer keeps."""
    latent_dim: NotRequired[int]
    """Values that a `latent` layer keeps of a token: rank of key and value, and width of the rotary part."""
    index_bytes: NotRequired[int]
    """Bytes that a `latent` layer with sparse attention keeps of a token for its index."""
    state_bytes: NotRequired[int]
    """Bytes of the state of one request in one `state` layer, all GPUs together."""


class ExpertFactsArgs(TypedDict):
    """The experts of a mixture."""

    count: int
    """Experts of a layer."""
    active: int
    """Experts that one token passes through."""
    width: int
    """Width of one expert."""
    layers: int
    """Layers that have experts; the others are dense."""
    shared_width: NotRequired[int]
    """Width of what every token passes through beside its experts; 0 where there is none."""


class EncoderFactsArgs(TypedDict):
    """How a model reads items of one modality: each goes through an encoder, and becomes tokens."""

    modality: str
    """What the items are: `image`, `video`, `audio` or `vision_chunk`."""
    tokens: NotRequired[int]
    """Tokens of the largest item; left out where the model's files do not say it."""
    positions: NotRequired[int]
    """Positions of the encoder that become one token."""
    hidden_size: int
    """Width of the encoder."""
    intermediate_size: int
    """Width of its MLP."""
    outputs: NotRequired[int]
    """Vectors as wide as the language model that are kept of a token: more than one where deeper layers take some."""


class StoredQuantizationArgs(TypedDict):
    """How the weights are stored in the model's repository, by its own `quantization_config`."""

    method: str
    """`quant_method` of the model, for example `awq`, `fp8` or `compressed-tensors`."""
    bits: NotRequired[int]
    """Bits of a weight, where the model says so."""
    group_size: NotRequired[int]
    """Weights that share a scale, where they are in groups."""
    format: NotRequired[str]
    """Number format or layout, as the model calls it, for example `float-quantized`."""


class ModelFactsArgs(TypedDict):
    """Shape, size and storage of a model, read from its own files."""

    architecture: str
    """Class of the model in its `config.json`, for example `Qwen3ForCausalLM`."""
    task: NotRequired[str]
    """What it is asked for: `generate`, `embed` or `classify`."""
    layers: list[LayerFactsArgs]
    """Its layers, those of one kind together."""
    hidden_size: int
    """Width of the residual stream."""
    heads: int
    """Query heads."""
    intermediate_size: int
    """Width of the MLP of dense layers; of an expert where all layers have experts."""
    vocabulary: int
    """Rows of the embedding table."""
    tied_embeddings: NotRequired[bool]
    """The output projection is the embedding table."""
    max_context: int
    """Longest context that the model was made for, in tokens."""
    experts: NotRequired[ExpertFactsArgs]
    """Experts of a mixture; left out for dense models."""
    parameters: int
    """All parameters."""
    weights: NotRequired[dict[str, int]]
    """Bytes of the weights by their type, for example `{BF16: 16381470720}`; empty where no weights were read."""
    quantization: NotRequired[StoredQuantizationArgs]
    """How the weights are stored; left out where they are not quantized."""
    encoders: NotRequired[list[EncoderFactsArgs]]
    """What it reads beside text, one entry a modality; left out for text alone."""


class ModelSourceArgs(TypedDict):
    """Where the weights come from."""

    architecture: NotRequired[str]
    """Name in the catalog of architectures, for example `llama-3.1-8b`."""
    facts: NotRequired[ModelFactsArgs]
    """What the model's own files say of its shape, as `stacks release add` reads it."""
    repository: str
    """Repository on the Hugging Face hub; `quantized/<name>` for the result of a quantization."""
    revision: str
    """Full commit, 40 hexadecimal digits."""
    source: NotRequired[str]
    """`cache`: the weights lie in the model cache, under `<repository>/<revision>`, where a quantization puts its
    result. Left out: they come from the loader's source."""
    license: str
    """SPDX identifier, or the publisher's own name of the licence."""
    gated: NotRequired[bool]
    """Downloads need an accepted licence and a token."""


class AdapterArgs(TypedDict):
    """A LoRA adapter that is served beside the model."""

    name: str
    """Name under which clients ask for it."""
    repository: str
    """Repository on the Hugging Face hub."""
    revision: str
    """Full commit, 40 hexadecimal digits."""
    rank: int
    """Its rank."""


class ReleaseArgs(TypedDict):
    """One release of one model: the immutable bundle of everything that changes answers."""

    name: str
    """The model's name."""
    version: str
    """The release's version."""
    engine: EngineReleaseArgs
    """Engine and version."""
    image: ImageReferenceArgs
    """The engine's image."""
    model: ModelSourceArgs
    """The weights."""
    quantization: NotRequired[str]
    """How the weights are stored: `none` (16 bits), `fp8`, `int8`, `awq`, `gptq`, `mxfp4`, `nvfp4`,
    `bitsandbytes` or `gguf`."""
    kv_cache: NotRequired[str]
    """How keys and values of tokens are kept: `auto` (as the model computes, 16 bits) or `fp8`, which holds twice the
    tokens and changes answers a little."""
    context_length: int
    """Longest request, prompt and answer together, in tokens."""
    sampling: NotRequired[dict[str, float]]
    """Default sampling parameters, passed to the engine as they are."""
    chat_template: NotRequired[str]
    """Jinja template that replaces the model's own."""
    tool_parser: NotRequired[str]
    """How calls of tools are read out of answers, by the engine's name of the parser."""
    reasoning_parser: NotRequired[str]
    """How thoughts are told from answers, by the engine's name of the parser."""
    adapters: NotRequired[list[AdapterArgs]]
    """LoRA adapters, each under a name of its own."""


class NodeShapeArgs(TypedDict):
    """One node of the pool as pods see it."""

    accelerator: str
    """GPU in the catalog, for example `H100-80GB`."""
    gpus: int
    """GPUs of one node that pods can ask for: whole ones, or the parts of shared ones."""
    partition: NotRequired[str]
    """MIG profile of the instances into which its GPUs are divided; whole GPUs if left out."""
    clients: NotRequired[int]
    """Pods that take turns on each of its GPUs; 1 by default."""
    cpu: float
    """Cores that pods can ask for, daemon sets included."""
    memory_gib: float
    """Memory that pods can ask for in GiB, daemon sets included."""
    ephemeral_gib: NotRequired[float]
    """Ephemeral storage that pods can ask for in GiB; 0 where it is not known."""
    local_ssd_gib: NotRequired[float]
    """Part of it that is local SSD."""
    queued: NotRequired[bool]
    """Nodes of the pool may come from a queue that names no end, as flex-start's does."""
    cloud: NotRequired[str]
    """`gcp`, `aws` or `existing`; decides what is suggested where a model does not fit."""


class QuantizationBaseArgs(TypedDict):
    """The release whose weights are quantized."""

    model: str
    """The model."""
    release: str
    """The release's version, for example `1.0.0`."""


class CalibrationArgs(TypedDict):
    """Text that the model reads while it is quantized."""

    path: str
    """A `.txt` or `.jsonl` file, or a folder of them, from the root of the model cache on."""
    samples: NotRequired[int]
    """Sequences of the text that are read; 512 by default."""
    sequence_length: NotRequired[int]
    """Tokens of a sequence; 2048 by default."""


class QuantizationArgs(TypedDict):
    """Quantized weights, made of those of a release by a Job into the model cache."""

    name: str
    """Name of the result."""
    team: str
    """Team in whose namespace the Job runs."""
    pool: str
    """Pool whose nodes it runs on."""
    base: QuantizationBaseArgs
    """Whose weights."""
    scheme: str
    """`FP8_DYNAMIC`, `W8A8`, `W4A16` or `NVFP4`, as llm-compressor calls them."""
    calibration: NotRequired[CalibrationArgs]
    """Text that the model reads meanwhile; needed by all schemes but `FP8_DYNAMIC`."""
    image: ImageReferenceArgs
    """Image with the quantizer (`images/quantizer`)."""
    accept_license: NotRequired[bool]
    """The licence of a gated base was read and accepted."""
    timeout_seconds: NotRequired[int]
    """Time in which the result must be there; six hours by default."""
