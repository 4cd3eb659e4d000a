"""Archives that leave out layers which their reader has: what a change of code has to carry is kilobytes then.

The format is an OCI image layout in a tar file, which containerd imports; it reads a layer's blob only where it has not
unpacked that layer yet. A ``manifest.json`` as ``docker save`` writes it names the image for other readers.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from stacks.images import ImageError

_BLOBS = "blobs/sha256"
_GZIP = b"\x1f\x8b"


class OciLayout:
    """A folder in which an image's blobs lie, as in an OCI image layout.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_placeholder(self, digest: str, size: int) -> None:
        """Make a file in a blob's place that has its length and takes no room."""
        path = self.folder / _path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)

    def write_archive(
        self, target: Path, reference: str, manifest: bytes, configuration: bytes, *, skip_layers: Collection[str]
    ) -> None:
        """Write an image as an archive.

        Args:
            target: the file to write.
            reference: name and tag that the reader gives the image.
            manifest: its manifest. Its layers are unpacked ones; in the folder they may be compressed.
            configuration: its configuration.
            skip_layers: digests of layers to leave out, since the reader has them. The others are read into memory,
                one at a time.

        Raises:
            ImageError: a layer in the folder is damaged.
        """
        content = json.loads(manifest)
        digest = _digest(manifest)
        described = {
            "mediaType": content["mediaType"],
            "digest": digest,
            "size": len(manifest),
            "annotations": {"io.containerd.image.name": reference},
        }
        layers: list[str] = [layer["digest"] for layer in content["layers"]]
        config = _digest(configuration)
        names = {"Config": _path(config), "RepoTags": [reference], "Layers": [_path(layer) for layer in layers]}
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [described]}))
            _add(tar, "manifest.json", _json([names]))
            _add(tar, _path(digest), manifest)
            _add(tar, _path(config), configuration)
            for layer, blob in self._written(layers):
                if layer not in skip_layers:
                    plain = _unpacked(blob)
                    if _digest(plain) != layer:
                        raise ImageError(f"{reference}: what was written of layer {layer} is not that layer")
                    _add(tar, _path(layer), plain)

    def _written(self, layers: Sequence[str]) -> Iterator[tuple[str, Path]]:
        """Each layer and its blob, which the folder's own manifest names in the same order."""
        index = json.loads((self.folder / "index.json").read_bytes())
        manifest = json.loads((self.folder / _path(index["manifests"][0]["digest"])).read_bytes())
        blobs = [self.folder / _path(layer["digest"]) for layer in manifest["layers"]]
        yield from dict(zip(layers, blobs, strict=True)).items()


def _unpacked(blob: Path) -> bytes:
    content = blob.read_bytes()
    return gzip.decompress(content) if content.startswith(_GZIP) else content


def _path(digest: str) -> str:
    return f"{_BLOBS}/{digest.removeprefix('sha256:')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(content))
