"""The two images that a node brings along: ``pause``, which holds a pod's namespaces, and CoreDNS."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from local.cluster.layout import program
from local.cluster.node import requirements
from local.cluster.node.archives import write_image


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
    return _image("pause", Path(requirements.find("catatonit")), ("-P",))


def coredns() -> SystemImage:
    """The cluster's name service."""
    return _image("coredns", program("coredns"), ())


def _image(name: str, source: Path, arguments: tuple[str, ...]) -> SystemImage:
    with source.open("rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return SystemImage(f"localhost/llm-serving/{name}:{fingerprint}", source, name, arguments)
