"""Container images written by hand, from nothing but static programs: what a node needs before any registry. Two it
brings along: ``pause``, which holds a pod's namespaces, and CoreDNS.

The format is that of ``docker save`` (one uncompressed layer, a configuration, ``manifest.json``), which every
container program reads. The same input gives the same bytes.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local.cluster.errors import ClusterError
from local.cluster.layout import program
from local.cluster.node import requirements

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive.

    Attributes:
        references: names that it is to have.
        image_id: digest of its configuration, ``sha256:...``: what Docker and Kubernetes call the image's id.
    """

    references: tuple[str, ...]
    image_id: str


def architecture() -> str:
    """The name that images have for this machine's processor."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def write_image(
    archive: Path, reference: str, files: Mapping[str, Path], *, entrypoint: Sequence[str], user: str = "65532:65532"
) -> ArchivedImage:
    """Write an image of static programs.

    Args:
        archive: the file to write.
        reference: the image's name with tag.
        files: path in the image (no leading slash) -> the program that stands there, readable and runnable by all.
        entrypoint: the command line.
        user: numbers of user and group.
    """
    layer = _layer(files)
    names = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "llm-serving local"}],
    }
    configuration = json.dumps(names, sort_keys=True).encode()
    digest = hashlib.sha256(configuration).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "layer.tar", layer, 0o644)
        _add(tar, f"{digest}.json", configuration, 0o644)
        _add(tar, _MANIFEST, json.dumps(manifest).encode(), 0o644)
    return ArchivedImage((reference,), f"sha256:{digest}")


def read_archive(archive: Path) -> list[ArchivedImage]:
    """The images in an archive.

    Raises:
        ClusterError: it is no archive of ``docker save`` or of ``buildah push ... docker-archive:``.
    """
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            images: list[dict[str, Any]] = json.loads(_member(tar, _MANIFEST).read())
            return [
                ArchivedImage(tuple(image.get("RepoTags") or ()), f"sha256:{_sha256(_member(tar, image['Config']))}")
                for image in images
            ]
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise ClusterError(f"{archive} is no image archive as `docker save` writes it: {error}") from error


@dataclass(frozen=True)
class SystemImage:
    """An image made of one static program.

    Attributes:
        reference: its name; the tag is the program's fingerprint.
        source: the program.
        target: its path in the image.
        arguments: of its command line.
    """

    reference: str
    source: Path
    target: str
    arguments: tuple[str, ...] = ()

    def write(self, archive: Path) -> None:
        """Write its archive."""
        line = (f"/{self.target}", *self.arguments)
        write_image(archive, self.reference, {self.target: self.source}, entrypoint=line)


def pause() -> SystemImage:
    """``catatonit -P`` waits, reaps, and ends on SIGTERM: made to be a pause container."""
    return _system_image("pause", Path(requirements.find("catatonit")), ("-P",))


def coredns() -> SystemImage:
    """The cluster's name service."""
    return _system_image("coredns", program("coredns"), ())


def _system_image(name: str, source: Path, arguments: tuple[str, ...]) -> SystemImage:
    with source.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return SystemImage(f"localhost/llm-serving/{name}:{fingerprint}", source, name, arguments)


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in sorted({parent for name in files for parent in _parents(name)}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, source in sorted(files.items()):
            _add(tar, name, source.read_bytes(), 0o755)
    return buffer.getvalue()


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[: count + 1]) for count in range(len(parts)))


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file


def _sha256(file: IO[bytes]) -> str:
    return hashlib.sha256(file.read()).hexdigest()
