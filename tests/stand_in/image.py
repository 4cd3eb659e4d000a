"""The image of the stand-in: the engine's image, with another program in the place of the engine."""

from pathlib import Path

from local.images import BuiltImage, LocalImages
from local.images.recipes import RECIPES, Recipe

_FOLDER = Path(__file__).parent
STAND_IN = Recipe(
    "stand-in-engine",
    _FOLDER / "Dockerfile",
    _FOLDER,
    bases={"ENGINE_IMAGE": "vllm"},
    needed_bytes=100_000_000,
    timeout_s=300,
)


def build() -> BuiltImage:
    """The image, built where the program or the engine's image has changed.

    Raises:
        ImageError: it cannot be built.
    """
    return LocalImages(recipes={**RECIPES, STAND_IN.name: STAND_IN}).build(STAND_IN.name)
