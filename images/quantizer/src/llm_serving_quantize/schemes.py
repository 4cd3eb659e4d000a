"""The schemes that are offered, and llm-compressor's recipe for each."""

# llm-compressor and torch are in the image alone.
# pyright: reportMissingImports=false

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmcompressor.modifiers import Modifier

IGNORED = ("lm_head",)
"""The output projection keeps its 16 bits, as in every recipe that llm-compressor publishes: it costs the most quality
and little memory."""

SMOOTHING_STRENGTH = 0.8
"""How much of the spread of activations moves into the weights (llm-compressor's documentation, example of W8A8)."""


@dataclass(frozen=True)
class Scheme:
    """A scheme of compressed-tensors.

    Attributes:
        calibrates: it needs text that the model reads while it is quantized.
        modifiers: its recipe, for a model of an architecture. Imported on the call: llm-compressor takes seconds, which
            wrong usage should not cost.
    """

    calibrates: bool
    modifiers: Callable[[str], "list[Modifier]"]


def _rounded(scheme: str) -> "Callable[[str], list[Modifier]]":
    """Round to nearest; scales of activations come from calibration, where the scheme has them fixed."""

    def modifiers(architecture: str) -> "list[Modifier]":
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(targets="Linear", scheme=scheme, ignore=list(IGNORED))]

    return modifiers


def _gptq(scheme: str, *, smooth: bool) -> "Callable[[str], list[Modifier]]":
    """GPTQ, layer by layer; before it SmoothQuant, for architectures of which llm-compressor knows what to smooth."""

    def modifiers(architecture: str) -> "list[Modifier]":
        from llmcompressor.modifiers.gptq import GPTQModifier
        from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
        from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

        recipe: list[Modifier] = []
        if smooth and architecture in MAPPINGS_REGISTRY:
            recipe.append(SmoothQuantModifier(smoothing_strength=SMOOTHING_STRENGTH))
        return [*recipe, GPTQModifier(targets="Linear", scheme=scheme, ignore=list(IGNORED))]

    return modifiers


SCHEMES: Mapping[str, Scheme] = {
    "FP8_DYNAMIC": Scheme(calibrates=False, modifiers=_rounded("FP8_DYNAMIC")),
    "W8A8": Scheme(calibrates=True, modifiers=_gptq("W8A8", smooth=True)),
    "W4A16": Scheme(calibrates=True, modifiers=_gptq("W4A16", smooth=False)),
    "NVFP4": Scheme(calibrates=True, modifiers=_rounded("NVFP4")),
}
"""By the name that compressed-tensors has for it (``PRESET_SCHEMES`` of 0.19.0)."""
