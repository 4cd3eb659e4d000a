"""An image in a file: an OCI image layout in a tar, as buildx, buildah and skopeo write it.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from stacks.images.build_context import ImageError

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LAUNCHER = "llm-serving-engine"
"""The program that watches an engine, in images that have our launcher inside."""

_NO_VERSION = "0.0.0"
_VERSION_LABEL = "org.opencontainers.image.version"


@dataclass(frozen=True)
class Descriptor:
    """What a manifest or an index says of a blob."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index.

    Attributes:
        descriptor: its own.
        content: its bytes, over which its digest is.
        blobs: configuration and layers; none of an index.
    """

    descriptor: Descriptor
    content: bytes
    blobs: tuple[Descriptor, ...]


class OciArchive:
    """An open archive; :func:`open_archive` makes it."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._path = path
        self._tar = tar
        self._members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
        self.manifests = tuple(self._tree(self._root()))
        """Manifests and indexes, each after those that it names: the last one is the image."""

    @property
    def image(self) -> Manifest:
        """The manifest or index that is the image: its digest is the image's."""
        return self.manifests[-1]

    @property
    def version(self) -> str:
        """The version that the image says of itself; empty where it says none, as builds for one machine do."""
        version = self._said()[0]
        return "" if version == _NO_VERSION else version

    @property
    def inputs(self) -> str | None:
        """The hash of its inputs, with which our builds end what an image says of its version."""
        return self._said()[1]

    @property
    def has_launcher(self) -> bool:
        """Whether a container of it starts our launcher."""
        return any(
            PurePosixPath(str(word)).name == LAUNCHER
            for configuration in self._configurations()
            for word in cast(list[Any], configuration.get("Entrypoint") or [])[:1]
        )

    def holds(self, digest: str) -> bool:
        """Whether a blob is in the archive: one may leave out layers that its reader has."""
        return _blob(digest) in self._members

    def open(self, digest: str) -> IO[bytes]:
        """A blob, to read.

        Raises:
            ImageError: the archive does not hold it.
        """
        return self._open(_blob(digest), digest)

    def _open(self, name: str, shown_as: str) -> IO[bytes]:
        member = self._members.get(name)
        file = None if member is None else self._tar.extractfile(member)
        if file is None:
            raise ImageError(f"{self._path}: {shown_as} is not in the archive")
        return file

    def _root(self) -> Descriptor:
        if "index.json" not in self._members:
            raise ImageError(
                f"{self._path}: not an OCI archive, there is no index.json in it; "
                "buildx writes one with --output type=oci,dest=FILE, buildah with `buildah push IMAGE oci-archive:FILE`"
            )
        with self._open("index.json", "index.json") as file:
            described = cast(list[Any], self._parse(file.read(), "index.json").get("manifests") or [])
        if len(described) != 1:
            raise ImageError(f"{self._path}: index.json must name one image, the one to push")
        return self._descriptor(described[0])

    def _tree(self, descriptor: Descriptor) -> Iterator[Manifest]:
        with self.open(descriptor.digest) as file:
            content = file.read()
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != descriptor.digest:
            raise ImageError(f"{self._path}: {descriptor.digest} is damaged")
        data = self._parse(content, descriptor.digest)
        if descriptor.media_type in INDEX_TYPES:
            for described in data.get("manifests") or ():
                yield from self._tree(self._descriptor(described))
            yield Manifest(descriptor, content, ())
        elif descriptor.media_type in MANIFEST_TYPES:
            blobs = [data.get("config"), *(data.get("layers") or ())]
            yield Manifest(descriptor, content, tuple(self._descriptor(blob) for blob in blobs))
        else:
            raise ImageError(f"{self._path}: {descriptor.media_type} is no image")

    def _said(self) -> tuple[str, str | None]:
        for configuration in self._configurations():
            labels = cast(dict[str, Any], configuration.get("Labels") or {})
            match = re.fullmatch(r"(.+)[-+]([0-9a-f]{12})", str(labels.get(_VERSION_LABEL, "")))
            if match is not None:
                return match[1], match[2]
        return "", None

    def _configurations(self) -> Iterator[dict[str, Any]]:
        """What the image says of its containers, once a platform."""
        for manifest in self.manifests:
            for blob in manifest.blobs[:1]:
                if self.holds(blob.digest):
                    with self.open(blob.digest) as file:
                        yield self._parse(file.read(), blob.digest).get("config") or {}

    def _parse(self, content: bytes, name: str) -> dict[str, Any]:
        try:
            data: Any = json.loads(content)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise ImageError(f"{self._path}: {name} is not a JSON table")
        return cast(dict[str, Any], data)

    def _descriptor(self, data: Any) -> Descriptor:
        try:
            descriptor = Descriptor(str(data["mediaType"]), str(data["digest"]), int(data["size"]))
        except (KeyError, TypeError, ValueError):
            raise ImageError(f"{self._path}: a manifest in it has a blob without type, digest or size") from None
        if not _DIGEST.fullmatch(descriptor.digest):
            raise ImageError(f"{self._path}: {descriptor.digest} is no SHA-256 digest")
        return descriptor


@contextmanager
def open_archive(path: Path) -> Generator[OciArchive]:
    """Open an archive.

    Raises:
        ImageError: it is not there, or not the archive of one image.
    """
    try:
        with tarfile.open(path) as tar:
            yield OciArchive(path, tar)
    except (OSError, tarfile.TarError) as error:
        raise ImageError(f"{path}: not an archive of an image: {error}") from None


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
