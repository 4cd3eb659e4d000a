"""Public arguments that mirror ``llm_serving.spec``, in the form that other languages can give.

The models in ``spec`` are the one definition of a field; a test compares these with them, field by field. The analyzer
of component packages knows no ``Literal``, no unions and no tuples: strings and lists stand in their place, and the
models check the values.
"""

from typing import NotRequired, TypedDict


class TeamArgs(TypedDict):
    """A team: one namespace, one GPU quota, the groups that may look and the groups that may change."""

    name: str
    """Also the namespace."""
    gpu_quota: NotRequired[int]
    """Most GPUs that the team's pods may ask for, where the team names it itself."""
    viewers: NotRequired[list[str]]
    """Groups (as the cloud names them) with read access to the namespace, Secrets excluded."""
    editors: NotRequired[list[str]]
    """Groups that may also change workloads."""


class ReleaseChoiceArgs(TypedDict):
    """Which releases of a model are served."""

    stable: str
    """Version that serves, for example `1.4.0`."""


class DrainArgs(TypedDict):
    """Times of an orderly end of an engine instance, in seconds. What is left out follows from the pool."""

    pre_stop_seconds: NotRequired[int]
    """Time in which a stopping instance still takes new requests."""
    shutdown_timeout_seconds: NotRequired[int]
    """Time that running requests get after that, before they are aborted."""


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
    replicas: NotRequired[int]
    """Number of engine instances; 1 by default."""
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


class EngineReleaseArgs(TypedDict):
    """Engine and its exact version."""

    name: NotRequired[str]
    """`vllm`."""
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
    """The image carries our launcher (`images/vllm`), which watches the engine and answers health checks."""


class LoaderArgs(TypedDict):
    """How weights come into the model cache."""

    image: ImageReferenceArgs
    """Image with the loader (`images/model-loader`)."""
    source: NotRequired[str]
    """`hf://` (the default) for the Hugging Face hub, or `file:///folder` for a folder of the image."""


class ModelSourceArgs(TypedDict):
    """Where the weights come from."""

    architecture: str
    """Name in the catalog of architectures, for example `llama-3.1-8b`."""
    repository: str
    """Repository on the Hugging Face hub."""
    revision: str
    """Full commit, 40 hexadecimal digits."""
    license: str
    """SPDX identifier, or the publisher's own name of the licence."""
    gated: NotRequired[bool]
    """Downloads need an accepted licence and a token."""


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
    """How the weights are stored: `none` (16 bits), `fp8`, `int8`, `awq` or `gptq`."""
    context_length: int
    """Longest request, prompt and answer together, in tokens."""
    sampling: NotRequired[dict[str, float]]
    """Default sampling parameters, passed to the engine as they are."""
    chat_template: NotRequired[str]
    """Jinja template that replaces the model's own."""


class NodeShapeArgs(TypedDict):
    """One node of the pool as pods see it."""

    accelerator: str
    """GPU in the catalog, for example `H100-80GB`."""
    gpus: int
    """GPUs of one node."""
    cpu: float
    """Cores that pods can ask for, daemon sets included."""
    memory_gib: float
    """Memory that pods can ask for in GiB, daemon sets included."""
    ephemeral_gib: NotRequired[float]
    """Ephemeral storage that pods can ask for in GiB; 0 where it is not known."""
    local_ssd_gib: NotRequired[float]
    """Part of it that is local SSD."""
    cloud: NotRequired[str]
    """`gcp`, `aws` or `existing`; decides what is suggested where a model does not fit."""
