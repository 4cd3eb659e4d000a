"""A model release: the immutable bundle of everything that changes answers."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llm_serving.arguments import Frozen, parse
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec.facts import ModelFacts, Task
from llm_serving.spec.forms import COMMIT, DIGEST, HUB_REPOSITORY
from llm_serving.spec.kubernetes import ImageRepository, ImageTag
from llm_serving.spec.names import MAX_AMOUNT, ModelName, Semver


class EngineName(StrEnum):
    """Inference engines that can be rendered."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    TRITON = "triton"


class Quantization(StrEnum):
    """How weights are stored. ``none`` is 16 bits a parameter (BF16)."""

    NONE = "none"
    FP8 = "fp8"
    INT8 = "int8"
    AWQ = "awq"
    GPTQ = "gptq"
    BITSANDBYTES = "bitsandbytes"
    GGUF = "gguf"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"


class KvCacheType(StrEnum):
    """How keys and values of tokens are kept."""

    AUTO = "auto"
    FP8 = "fp8"


class EngineRelease(Frozen):
    """Engine and its exact version."""

    name: EngineName = EngineName.VLLM
    """`vllm` (the default), `sglang`, `tgi` or `triton`."""
    version: Semver
    """Version, for example `0.32.0`."""


class ImageReference(Frozen):
    """Container image."""

    repository: ImageRepository
    """Repository, with its registry."""
    tag: ImageTag
    """Tag to pull where no digest is given.

    A digest, where given, decides.
    """
    digest: Annotated[str, DIGEST] | None = None
    """`sha256:` and 64 hexadecimal digits; decides where it is given.

    ``None`` while the image has no recorded digest.
    """
    launcher: bool = False
    """The image carries our launcher inside, as the program `llm-serving-engine`.

    False for all others, the publisher's own among them: the launcher comes to them with the release.
    """
    user_id: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """User that the engine runs as, one that the image knows by name.

    Left out: the one that is known of the image by its name (catalog, ``engine_images.csv``), else 1000.
    """

    @property
    def reference(self) -> str:
        """What a pod's ``image`` field holds."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    @property
    def docker_hub_path(self) -> str | None:
        """Path of the image on Docker Hub, which a repository without a registry is on too; ``None`` for one of another
        registry."""
        host, _, rest = self.repository.partition("/")
        if not rest or (host != "localhost" and not {".", ":"} & set(host)):
            host, rest = _DOCKER_HUB[0], self.repository
        if host not in _DOCKER_HUB:
            return None
        return rest if "/" in rest else f"library/{rest}"


_DOCKER_HUB = ("docker.io", "index.docker.io")


class ModelSource(Frozen):
    """Where the weights come from."""

    architecture: str | None = None
    """Name in the catalog of architectures, for example `llama-3.1-8b`.

    Either this or `facts`.
    """
    facts: ModelFacts | None = None
    """What the model's own files say of its shape, as `stacks release add` reads it.

    Either this or `architecture`.
    """
    repository: Annotated[str, HUB_REPOSITORY]
    """Repository on the Hugging Face hub; `quantized/<name>` for the result of a quantization."""
    revision: Annotated[str, COMMIT]
    """Full commit, 40 hexadecimal digits.

    A branch name would change answers without a release.
    """
    source: Literal["cache"] | None = None
    """`cache`: the weights lie in the model cache, under `<repository>/<revision>`, where a quantization puts its
    result. Left out: they come from the loader's source."""
    license: str
    """SPDX identifier, or the publisher's own name of the licence."""
    gated: bool = False
    """Downloads need an accepted licence and a token."""

    @model_validator(mode="after")
    def _has_one_shape(self) -> "ModelSource":
        if self.architecture is None and self.facts is None:
            reason = "the model's shape is missing: a name in the catalog, or facts from the model itself"
            raise ProblemsError([Problem("architecture", None, reason, "stacks release add, which reads them")])
        if self.architecture is not None and self.facts is not None:
            reason = "the model has facts of its own, so it takes no row of the catalog"
            raise ProblemsError([Problem("architecture", self.architecture, reason, "leave it out")])
        return self


class AdapterSource(Frozen):
    """A LoRA adapter that is served beside the model."""

    name: ModelName
    """Name under which clients ask for it."""
    repository: Annotated[str, HUB_REPOSITORY]
    """Repository on the Hugging Face hub."""
    revision: Annotated[str, COMMIT]
    """Full commit, 40 hexadecimal digits."""
    rank: Annotated[int, Field(ge=1, le=512)]
    """Its rank."""


class ReleaseSpec(Frozen):
    """One release of one model: the immutable bundle of everything that changes answers."""

    name: ModelName
    """The model's name.

    Equal to its folder.
    """
    version: Semver
    """The release's version.

    Equal to its file's name.
    """
    engine: EngineRelease
    """Engine and version."""
    image: ImageReference
    """The engine's image."""
    model: ModelSource
    """The weights."""
    quantization: Quantization = Quantization.NONE
    """How the weights are stored: `none` (16 bits), `fp8`, `int8`, `awq`, `gptq`, `mxfp4`, `nvfp4`,
    `bitsandbytes` or `gguf`."""
    kv_cache: KvCacheType = KvCacheType.AUTO
    """How keys and values of tokens are kept: `auto` (as the model computes, 16 bits) or `fp8`, which holds twice the
    tokens and changes answers a little."""
    context_length: Annotated[int, Field(ge=64, le=MAX_AMOUNT)]
    """Longest request, prompt and answer together, in tokens."""
    sampling: dict[str, float] = {}
    """Default sampling parameters, passed to the engine as they are."""
    chat_template: str | None = None
    """Jinja template that replaces the model's own."""
    tool_parser: str | None = None
    """How calls of tools are read out of answers, by the engine's name of the parser."""
    reasoning_parser: str | None = None
    """How thoughts are told from answers, by the engine's name of the parser."""
    adapters: tuple[AdapterSource, ...] = ()
    """LoRA adapters, each under a name of its own."""

    @property
    def task(self) -> Task:
        """What the model is asked for; those of the catalog write text."""
        return self.model.facts.task if self.model.facts is not None else Task.GENERATE

    @property
    def quantization_while_loading(self) -> Quantization:
        """The quantization that the engine is asked for; none where the model's own config says how its weights are
        stored already, which engines read themselves and compare with what they are told."""
        stored = self.model.facts is not None and self.model.facts.quantization is not None
        return Quantization.NONE if stored else self.quantization


def content_hash(data: Any) -> str:
    """SHA-256 of the canonical JSON form of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def release_hash(release: ReleaseSpec | Mapping[str, Any]) -> str:
    """SHA-256 of what a release says, 64 hexadecimal digits: the same for either spelling of its keys. What it leaves
    out does not count, so that a field which a later version of the package adds changes no hash.

    Raises:
        ProblemsError: it is no release; a problem for each refused value.
    """
    spec = parse(ReleaseSpec, release, "release")
    return content_hash(spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
