"""Where images and what belongs to them lie: in the cache outside the work tree, never in the system's own store."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """The folders under one cache."""

    cache: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Places":
        """The cache that ``LLM_SERVING_CACHE`` names, else ``llm-serving`` under ``XDG_CACHE_HOME`` or ``~/.cache``."""
        home = environment.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return cls(
            REPOSITORY / Path(environment.get("LLM_SERVING_CACHE") or os.path.join(home, "llm-serving")).expanduser()
        )

    @property
    def store(self) -> Path:
        """Images and layers, as buildah keeps them."""
        return self.cache / "containers"

    @property
    def work(self) -> Path:
        """Contexts of builds and other files that live as long as one command."""
        return self.cache / "images"

    @property
    def archives(self) -> Path:
        """Archives of images, for nodes to load."""
        return self.cache / "archives"

    @property
    def lock(self) -> Path:
        """Held while anything under these folders changes."""
        return self.cache / "images.lock"

    def log(self, name: str) -> Path:
        """The output of the last build of an image."""
        return self.cache / "logs" / f"image-{name}.log"
