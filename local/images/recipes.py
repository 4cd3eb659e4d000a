"""Which images there are, and what each is made of.

The Dockerfiles are those of production; what differs here are build arguments: a base that needs no registry, and the
CPU's distribution of vLLM.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stacks.images import IMAGES

BASE = "base"
REPOSITORY_NAME = "localhost/llm-serving"
"""What every reference starts with. No registry has it: a node that lacks the image says so at once."""

_LOCAL = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """One image.

    Attributes:
        name: how people and other parts call it.
        dockerfile: its Dockerfile.
        context: folder that the Dockerfile's COPY lines start from; ``None`` where the caller names it.
        bases: build argument -> name of the image whose reference it gets.
        arguments: further build arguments.
        public_arguments: those that change where the base comes from a registry and lacks what ours has.
        needed_bytes: disk that the build takes while it runs.
        timeout_s: seconds after which the build is ended.
    """

    name: str
    dockerfile: Path
    context: Path | None
    bases: Mapping[str, str]
    needed_bytes: int
    timeout_s: float
    arguments: Mapping[str, str] = field(default_factory=dict)
    public_arguments: Mapping[str, str] = field(default_factory=dict)


def _preload() -> str:
    """Libraries that vLLM wants loaded first on a CPU: a faster allocator and, on x86, Intel's threads (a dependency of
    its x86 build alone). See vLLM's documentation, Installation, CPU, LD_PRELOAD.
    """
    libraries = ["libtcmalloc_minimal.so.4"]
    if platform.machine() == "x86_64":
        libraries.append("/opt/venv/lib/libiomp5.so")
    return ":".join(libraries)


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "vllm",
            IMAGES / "vllm" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            arguments={"LOCK": "requirements-cpu.txt", "SYSTEM_PACKAGES": "", "PRELOAD": _preload()},
            public_arguments={"SYSTEM_PACKAGES": "libnuma1 libtcmalloc-minimal4"},
            needed_bytes=20_000_000_000,
            timeout_s=3600,
        ),
        Recipe(
            "model-loader",
            IMAGES / "model-loader" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            needed_bytes=1_000_000_000,
            timeout_s=900,
        ),
        Recipe(
            "gateway",
            IMAGES / "gateway" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            needed_bytes=2_000_000_000,
            timeout_s=900,
        ),
        Recipe(
            "quantizer",
            IMAGES / "quantizer" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            arguments={"LOCK": "requirements-cpu.txt", "SYSTEM_PACKAGES": ""},
            needed_bytes=15_000_000_000,
            timeout_s=3600,
        ),
        Recipe(
            "proxy",
            IMAGES / "proxy" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            needed_bytes=1_000_000_000,
            timeout_s=900,
        ),
        Recipe(
            "router",
            IMAGES / "router" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE},
            needed_bytes=1_000_000_000,
            timeout_s=900,
        ),
        Recipe(
            "redis",
            IMAGES / "redis" / "Dockerfile",
            IMAGES,
            bases={"BASE_IMAGE": BASE},
            needed_bytes=500_000_000,
            timeout_s=600,
        ),
        Recipe(
            "tiny-model",
            _LOCAL / "tiny-model.Dockerfile",
            None,
            bases={"LOADER_IMAGE": "model-loader"},
            needed_bytes=100_000_000,
            timeout_s=300,
        ),
    )
}
"""Every image except the base, which has no Dockerfile of its own."""
