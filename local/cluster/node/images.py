"""Images of a running node: which there are, and loading one from an archive.

Loaded layers are unpacked once and their packed form is dropped, as containerd does with images that it pulls under
``discard_unpacked_layers``: an image takes its size on disk once and not twice.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.node import archives

_NAMESPACE = "k8s.io"
_CHUNK = 4 * 1024 * 1024
_LARGE = 256 * 1024 * 1024
_TELL_SECONDS = 5.0

Enter = Callable[[Sequence[str]], list[str]]
"""Makes the command line that runs a command inside the node."""


def loaded(enter: Enter) -> dict[str, str]:
    """Reference -> image id of every image.

    Raises:
        ClusterError: containerd does not answer.
    """
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for line in _ctr(enter, "images", "ls").splitlines()[1:]:
        name, _, target = line.split()[:3]
        if name.startswith("sha256:"):
            ids[target] = name  # containerd's Kubernetes side names each image by its id too, a moment later
        elif "@sha256:" not in name:
            names[name] = target
    return {name: ids.get(target) or _image_id(enter, target) for name, target in names.items()}


def load(enter: Enter, archive: Path, tell: Callable[[str], None]) -> bool:
    """Load the images of an archive, unless they are there; say whether anything was done.

    Args:
        enter: see :data:`Enter`.
        archive: as ``docker save`` or ``buildah push ... docker-archive:`` write it.
        tell: gets a line every few seconds while a large archive is read.

    Raises:
        ClusterError: the archive cannot be read, or containerd refuses it.
    """
    wanted = archives.read_archive(archive)
    nameless = [image.image_id for image in wanted if not image.references]
    if nameless:
        raise ClusterError(f"{archive}: image {nameless[0]} has no name (try: docker-archive:FILE:NAME:TAG)")
    present = loaded(enter)
    if all(present.get(reference) == image.image_id for image in wanted for reference in image.references):
        return False
    _import(enter, archive, ", ".join(reference for image in wanted for reference in image.references), tell)
    present = loaded(enter)
    for image in wanted:
        for reference in image.references:
            if present.get(reference) != image.image_id:
                actual = present.get(reference, "nothing")
                raise ClusterError(f"{archive}: loaded {reference}, but the node has {actual}, not {image.image_id}")
    _ctr(enter, "content", "prune", "references")
    return True


def _import(enter: Enter, archive: Path, names: str, tell: Callable[[str], None]) -> None:
    """The archive goes through a pipe, so that it may lie where the node sees no files."""
    size, sent, reported_at = archive.stat().st_size, 0, time.monotonic()
    command = enter(["ctr", "--namespace", _NAMESPACE, "images", "import", "-"])
    with (
        archive.open("rb") as file,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            while chunk := file.read(_CHUNK):
                process.stdin.write(chunk)
                sent += len(chunk)
                if size > _LARGE and time.monotonic() - reported_at > _TELL_SECONDS:
                    reported_at = time.monotonic()
                    tell(f"loading {names}: {sent / 1e9:.1f} of {size / 1e9:.1f} GB")
            process.stdin.close()
            if size > _LARGE:
                tell(f"loading {names}: unpacking")
        except BrokenPipeError:
            pass  # it has ended, and says why
        output = process.stdout.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise ClusterError(f"the node cannot load {archive}: {output}")


def _image_id(enter: Enter, target: str) -> str:
    return str(json.loads(_ctr(enter, "content", "get", target))["config"]["digest"])


def _ctr(enter: Enter, *arguments: str) -> str:
    command = enter(["ctr", "--namespace", _NAMESPACE, *arguments])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`ctr {' '.join(arguments)}` failed in the node: {done.stderr.strip()}")
    return done.stdout
