"""Buildah: builds without a daemon, into a store of our own.

Every call runs in mount and process namespaces that end with it, so that a build that is killed leaves neither a
mount nor a process; what it runroot about mounts (``--runroot``) is made anew for each call for the same reason.
RUN lines run in a chroot: buildah's other isolation changes the machine's network.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from local.images.archives import OciLayout
from local.images.builders.interface import BuildRequest, StoredImage, UnreadableLayerError
from local.images.cache import check_room
from local.images.logged_commands import Say, output_of, run_logged
from stacks.images import ImageError

_PUSH_TIMEOUT_S = 1800
_SMALL = 100_000_000
"""Bytes of new layers up to which they are written alone: the program compresses them on the way, at 30 MB a second."""
_UNREADABLE = re.compile(r"reading blob (sha256:[0-9a-f]{64})")
"""What the program says of a layer whose files are not those that it stored (``putBlob`` of containers/image)."""
NAMESPACES = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Mounts and processes of a command that end with it."""


class Buildah:
    """The buildah command-line program with a store in a folder of ours."""

    name = "buildah"
    public_base = False

    def __init__(self, program: str, store: Path, scratch: Path) -> None:
        self._program = program
        self._store = store
        self._scratch = scratch

    def find(self, reference: str) -> StoredImage | None:
        """See :class:`ImageBuilder`."""
        if not self._store.exists():
            return None
        try:
            with self._running() as command:
                inspected = self._inspect(command, reference)
        except ImageError:
            if reference in self.stored(reference):
                raise
            return None
        layers = json.loads(inspected["Manifest"])["layers"]
        return StoredImage(
            reference,
            json.loads(inspected["Manifest"])["config"]["digest"],
            # Layers are kept unpacked: size and digest of each are those of its plain archive.
            sum(layer["size"] for layer in layers),
            tuple(layer["digest"] for layer in layers),
        )

    def build(self, request: BuildRequest, *, doing: str, log: Path, timeout_s: float, say: Say) -> None:
        """See :class:`ImageBuilder`."""
        options = ["--isolation=chroot", "--format=docker", "--layers", *([] if request.pull else ["--pull-never"])]
        options += [f"--tag={request.reference}", f"--file={request.dockerfile}"]
        for name, value in request.arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        for name, path in request.secrets.items():
            options += ["--secret", f"id={name},src={path}"]
        self._remove_containers()  # of a build that was killed: gigabytes
        try:
            with self._running() as command:
                run_logged(
                    [*command, "bud", *options, str(request.context)],
                    doing=doing,
                    log=log,
                    timeout_s=timeout_s,
                    say=say,
                    environment=self._environment(),
                )
        except BaseException:
            # The container that a failed step ran in is kept otherwise, with all that the step had written.
            with contextlib.suppress(ImageError):
                self._remove_containers()
            raise

    def archive(self, image: StoredImage, target: Path, *, skip_layers: Collection[str], log: Path, say: Say) -> None:
        """See :class:`ImageBuilder`."""
        with self._running() as command:
            inspected = self._inspect(command, image.reference)
        sizes = {layer["digest"]: layer["size"] for layer in json.loads(inspected["Manifest"])["layers"]}
        known = {layer: size for layer, size in sizes.items() if layer in skip_layers}
        if sum(sizes.values()) - sum(known.values()) > _SMALL:
            check_room(target.parent, sum(sizes.values()) + _SMALL, f"the archive of {image.reference}")
            target.unlink(missing_ok=True)  # the program appends to an archive that is there
            self._push(image, f"docker-archive:{target}:{image.reference}", log, say)
            return
        with tempfile.TemporaryDirectory(prefix=".layers-", dir=target.parent) as scratch:
            layout = OciLayout(Path(scratch))
            # The program takes a blob that is there for written: an empty file of the right length, which takes no
            # room, keeps it from packing a layer that nobody will read.
            for layer, size in known.items():
                layout.add_placeholder(layer, size)
            self._push(image, f"oci:{layout.folder}:image", log, say)
            # The program gives the image a manifest of another kind there, and with it another id: its own are used.
            manifest, configuration = inspected["Manifest"].encode(), inspected["Config"].encode()
            layout.write_archive(target, image.reference, manifest, configuration, skip_layers=known)

    def oci_archive(self, image: StoredImage, target: Path, *, log: Path, say: Say) -> None:
        """See :class:`ImageBuilder`."""
        check_room(target.parent, image.size_bytes, f"the archive of {image.reference}")
        target.unlink(missing_ok=True)  # the program refuses to write over an archive
        self._push(image, f"oci-archive:{target}", log, say)

    def stored(self, prefix: str) -> dict[str, str]:
        """See :class:`ImageBuilder`."""
        if not self._store.exists():
            return {}
        with self._running() as command:
            text = output_of([*command, "images", "--no-trunc", "--json"], doing="listing images")
        return {
            name: f"sha256:{image['id'].removeprefix('sha256:')}"
            for image in json.loads(text or "null") or []
            for name in image.get("names") or ()
            if name.startswith(prefix)
        }

    def remove(self, references: Collection[str]) -> None:
        """See :class:`ImageBuilder`."""
        if not self._store.exists():
            return
        self._remove_containers()
        with self._running() as command:
            if references:
                output_of(
                    [*command, "rmi", "--force", *sorted(references)],
                    doing="removing images",
                    timeout_s=_PUSH_TIMEOUT_S,
                )
            output_of([*command, "rmi", "--prune"], doing="removing layers of no image", timeout_s=_PUSH_TIMEOUT_S)

    def _push(self, image: StoredImage, target: str, log: Path, say: Say) -> None:
        with self._running() as command:
            try:
                run_logged(
                    [*command, "push", image.image_id.removeprefix("sha256:"), target],
                    doing=f"writing the archive of {image.reference}",
                    log=log,
                    timeout_s=_PUSH_TIMEOUT_S,
                    say=say,
                )
            except ImageError as error:
                if unreadable := _UNREADABLE.search(str(error)):
                    raise UnreadableLayerError(str(error), unreadable[1]) from None
                raise

    def _remove_containers(self) -> None:
        with self._running() as command:
            output_of([*command, "rm", "--all"], doing="removing containers of builds", timeout_s=_PUSH_TIMEOUT_S)

    def _environment(self) -> dict[str, str]:
        """Layers pass through temporary files of their size: on the disk whose room was checked, not in /var/tmp."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return {**os.environ, "TMPDIR": str(self._scratch)}

    def _inspect(self, command: Sequence[str], reference: str) -> dict[str, str]:
        """``buildah inspect`` of an image; its members ``Manifest`` and ``Config`` are the image's own bytes."""
        return json.loads(
            output_of([*command, "inspect", "--type=image", reference], doing=f"buildah inspect {reference}")
        )

    @contextlib.contextmanager
    def _running(self) -> Iterator[list[str]]:
        """The start of a command line that works on the store, while the folder lives that it keeps its runroot in."""
        self._store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="llm-serving-buildah-", ignore_cleanup_errors=True) as runroot:
            storage = [f"--root={self._store}", f"--runroot={runroot}", "--storage-driver=overlay"]
            yield [*NAMESPACES, self._program, *storage]
