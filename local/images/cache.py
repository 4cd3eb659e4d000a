"""Where images and what belongs to them lie: in a cache outside the work tree, never in the system's own store."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stacks.images import IMAGES, ImageError


@dataclass(frozen=True)
class ImageCache:
    """The folders under one cache."""

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "ImageCache":
        """The cache that ``LLM_SERVING_CACHE`` names, else ``llm-serving`` under ``XDG_CACHE_HOME`` or ``~/.cache``. A
        relative path starts at the repository."""
        users = environment.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = environment.get("LLM_SERVING_CACHE") or os.path.join(users, "llm-serving")
        return cls(IMAGES.parent / Path(folder).expanduser())

    @property
    def store(self) -> Path:
        """Images and layers, as buildah keeps them."""
        return self.root / "containers"

    @property
    def work(self) -> Path:
        """Contexts of builds and other files that live as long as one command."""
        return self.root / "images"

    @property
    def archives(self) -> Path:
        """Archives of images, for nodes to load."""
        return self.root / "archives"

    @property
    def lock(self) -> Path:
        """Held while anything under these folders changes."""
        return self.root / "images.lock"

    def log(self, name: str) -> Path:
        """The output of the last build of an image."""
        return self.root / "logs" / f"image-{name}.log"


def check_room(folder: Path, needed_bytes: int, purpose: str) -> None:
    """Refuse to start what would fill the disk.

    Args:
        folder: where the bytes go; it need not exist yet.
        needed_bytes: how many.
        purpose: what needs them, for the message.

    Raises:
        ImageError: less is free.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise ImageError(
            f"{purpose} needs about {gigabytes(needed_bytes)} under {folder}, and {gigabytes(free_bytes)} are free. "
            "Free some (python -m local images clean removes what no image of today's sources needs), "
            "or let LLM_SERVING_CACHE name a folder on a larger disk."
        )


def gigabytes(size_bytes: int) -> str:
    """A size for people: ``4.94 GB``, or ``0.208 GB`` below one."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e9:.3f} GB"
