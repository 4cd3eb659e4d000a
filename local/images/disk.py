"""Whether a disk has the room that a build or an archive needs, before it is filled."""

import shutil
from pathlib import Path

from local.images.errors import ImageError


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to start what would fill the disk.

    Args:
        folder: where the bytes go; it need not exist yet.
        needed: bytes.
        purpose: what needs them, for the message.

    Raises:
        ImageError: less is free.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ImageError(
            f"{purpose} needs about {gigabytes(needed)} under {folder}, and {gigabytes(free)} are free. "
            "Free some (python -m local.images clean removes what no image of today's sources needs), "
            "or let LLM_SERVING_CACHE name a folder on a larger disk."
        )


def gigabytes(size: int) -> str:
    """A size for people: ``4.94 GB``, or ``0.2 GB`` where more digits say nothing."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e9:.3f} GB"
