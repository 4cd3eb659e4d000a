"""What a program that builds images can do, whichever it is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local.images.logged_commands import Say
from stacks.images import ImageError


@dataclass(frozen=True)
class BuildRequest:
    """What to build, from which files.

    Attributes:
        reference: name and tag that the image gets.
        dockerfile: its Dockerfile.
        context: folder that the Dockerfile's COPY lines read.
        arguments: build arguments.
        secrets: name of a secret -> the file that holds it.
        pull: whether a registry may be asked for bases that are not there.
    """

    reference: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    pull: bool = False


@dataclass(frozen=True)
class StoredImage:
    """An image that is there.

    Attributes:
        reference: its name with tag.
        image_id: digest of its configuration, ``sha256:...``.
        size_bytes: sum of its layers, unpacked.
        layers: digest of each unpacked layer, the lowest first.
    """

    reference: str
    image_id: str
    size_bytes: int
    layers: tuple[str, ...]


class UnreadableLayerError(ImageError):
    """A layer of a stored image is not what was built: something has changed or removed its files since.

    Args:
        reason: what the program said.
        layer: digest of the unpacked layer.
    """

    def __init__(self, reason: str, layer: str) -> None:
        super().__init__(reason)
        self.layer = layer


class ImageBuilder(Protocol):
    """A program that builds images and keeps them. Each method raises ImageError when the program fails."""

    name: str
    public_base: bool
    """Whether bases come from a registry; else one is made here."""

    def find(self, reference: str) -> StoredImage | None:
        """The image of that name, if it is there."""
        ...

    def build(self, request: BuildRequest, *, doing: str, log: Path, timeout_s: float, say: Say) -> None:
        """BuildRequest an image; the output goes to the log."""
        ...

    def archive(self, image: StoredImage, target: Path, *, skip_layers: Collection[str], log: Path, say: Say) -> None:
        """Write an image as one file, without ``skip_layers`` where the program can leave them out.

        Raises:
            UnreadableLayerError: a layer is damaged, and the program can say which.
        """
        ...

    def oci_archive(self, image: StoredImage, target: Path, *, log: Path, say: Say) -> None:
        """Write an image as an OCI archive with every layer, for a registry.

        Raises:
            UnreadableLayerError: as :meth:`archive`.
        """
        ...

    def stored(self, prefix: str) -> dict[str, str]:
        """Reference -> image id of all images whose name starts with the prefix."""
        ...

    def remove(self, references: Collection[str]) -> None:
        """Remove images, and what was kept for building them alone."""
        ...
