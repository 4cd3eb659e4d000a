"""A model release: the immutable bundle of everything that changes answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from llm_serving.arguments import Frozen
from llm_serving.spec.names import ModelName, Semver


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


class EngineRelease(Frozen):
    """Engine and its exact version."""

    name: EngineName = EngineName.VLLM
    version: Semver


class ImageReference(Frozen):
    """Container image.

    Attributes:
        repository: repository, with its registry.
        tag: tag to pull; a digest, where given, decides.
        digest: ``sha256:`` and 64 hexadecimal digits, or ``None`` while the image has no recorded digest.
        launcher: the image carries our launcher (``images/vllm``), which watches the engine and answers health checks;
            false for the publisher's own images.
    """

    repository: str
    tag: str
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    launcher: bool = False

    @property
    def reference(self) -> str:
        """What a pod's ``image`` field holds."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


class ModelSource(Frozen):
    """Where the weights come from.

    Attributes:
        architecture: name in the catalog of architectures, for example ``llama-3.1-8b``.
        repository: repository on the Hugging Face hub.
        revision: full commit, 40 hexadecimal digits: a branch name would change answers without a release.
        license: SPDX identifier, or the publisher's own name of the licence.
        gated: downloads need an accepted licence and a token.
    """

    architecture: str
    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    license: str
    gated: bool = False


class AdapterSource(Frozen):
    """A LoRA adapter that is served beside the model.

    Attributes:
        name: name under which clients ask for it.
        repository: repository on the Hugging Face hub.
        revision: full commit, 40 hexadecimal digits.
        rank: its rank.
    """

    name: ModelName
    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    rank: Annotated[int, Field(ge=1, le=512)]


class ReleaseSpec(Frozen):
    """One release of one model.

    Attributes:
        name: the model's name; equal to its folder.
        version: equal to its file's name.
        engine: engine and version.
        image: the engine's image.
        model: the weights.
        quantization: how the weights are stored.
        context_length: longest request, prompt and answer together, in tokens.
        sampling: default sampling parameters, passed to the engine as they are.
        chat_template: Jinja template that replaces the model's own.
        tool_parser: how calls of tools are read out of answers, by the engine's name of the parser; ``None`` for none.
        reasoning_parser: how thoughts are told from answers, by the engine's name of the parser; ``None`` for none.
        adapters: LoRA adapters, each under a name of its own.
    """

    name: ModelName
    version: Semver
    engine: EngineRelease
    image: ImageReference
    model: ModelSource
    quantization: Quantization = Quantization.NONE
    context_length: Annotated[int, Field(ge=256)]
    sampling: dict[str, float] = {}
    chat_template: str | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    adapters: tuple[AdapterSource, ...] = ()
