"""A real registry server (Debian's package ``docker-registry``) on this machine, and archives to push to it."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.images.launched import free_port, until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PASSWORDS = "alice:$2b$05$abcdefghijklmnopqrstuuA0vov2GDneHB3.8.cv9UF9g.RdvScIW\n"
"""An htpasswd file: alice's password is "wonderland"."""


@contextlib.contextmanager
def serving(folder: Path, **more: Any) -> Iterator[str]:
    """A registry that keeps its blobs in a folder; its host and port.

    Args:
        folder: an empty one.
        more: further parts of its configuration, such as ``auth``.
    """
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("NOT TESTED: the registry server (package docker-registry) is missing: run `make setup-node`")
    folder.mkdir()
    host = f"127.0.0.1:{free_port()}"
    configuration = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": host},
        **more,
    }
    (folder / "config.yml").write_text(yaml.safe_dump(configuration))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:

        def answers() -> bool:
            assert server.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection(host, timeout=5)
                connection.request("GET", "/v2/")
                return connection.getresponse().status in (200, 401)
            return False

        until(answers, "the registry answers")
        yield host
    finally:
        server.kill()
        server.wait()


class Archive:
    """An OCI archive in the making, by hand: the bytes of every blob are known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs: dict[str, bytes] = {}

    def add(self, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a blob; its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content), **more}

    def image(
        self, layers: Sequence[bytes], *, version: str = "", entrypoint: Sequence[str] = (), architecture: str = "amd64"
    ) -> dict[str, Any]:
        """Keep an image; the descriptor of its manifest."""
        labels = {"org.opencontainers.image.version": version}
        diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        about = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": labels, "Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        }
        config = self.add(json.dumps(about).encode(), "application/vnd.oci.image.config.v1+json")
        described = [self.add(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described}
        platform = {"architecture": architecture, "os": "linux"}
        return self.add(json.dumps(manifest).encode(), MANIFEST, platform=platform)

    def index(self, *manifests: dict[str, Any]) -> dict[str, Any]:
        """Keep an index of images; its descriptor."""
        return self.add(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode(), INDEX)

    def write(self, *images: dict[str, Any], without: Sequence[str] = ()) -> Path:
        """Write the file; blobs of the digests ``without`` are left out."""
        with tarfile.open(self.path, "w") as tar:
            files = {f"blobs/sha256/{digest[7:]}": blob for digest, blob in self.blobs.items() if digest not in without}
            files["oci-layout"] = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
            files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": images}).encode()
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return self.path


def archive_of(path: Path, *layers: bytes, **more: Any) -> Path:
    """The archive of one image."""
    archive = Archive(path)
    return archive.write(archive.image(layers, **more))


def manifest_of(host: str, path: str, reference: str, **options: Any) -> requests.Response:
    """A manifest as the registry serves it."""
    headers = {"Accept": f"{MANIFEST}, {INDEX}, application/vnd.docker.distribution.manifest.v2+json"}
    return requests.get(f"http://{host}/v2/{path}/manifests/{reference}", headers=headers, timeout=10, **options)


def docker_login(folder: Path, host: str, user: str, password: str) -> dict[str, str]:
    """The environment of somebody whom ``docker login`` logged in."""
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(folder)}
