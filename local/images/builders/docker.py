"""Docker: BuildKit builds, the daemon keeps the images."""

import json
import os
from collections.abc import Collection
from pathlib import Path

from local.images.builders.interface import BuildRequest, StoredImage
from local.images.cache import check_room
from local.images.logged_commands import Say, output_of, run_logged
from stacks.images import ImageError

_SAVE_TIMEOUT_S = 1800
_MISSING = ("no such image", "no such object")


class Docker:
    """The docker command-line program, whose daemon answers."""

    name = "docker"
    public_base = True

    def __init__(self, program: str) -> None:
        self._program = program

    def find(self, reference: str) -> StoredImage | None:
        """See :class:`ImageBuilder`."""
        try:
            text = output_of([self._program, "image", "inspect", reference], doing=f"docker image inspect {reference}")
        except ImageError as error:
            if any(words in str(error).lower() for words in _MISSING):
                return None
            raise
        image = json.loads(text)[0]
        return StoredImage(reference, image["Id"], image["Size"], tuple(image["RootFS"].get("Layers") or ()))

    def build(self, request: BuildRequest, *, doing: str, log: Path, timeout_s: float, say: Say) -> None:
        """See :class:`ImageBuilder`."""
        command = [self._program, "build", "--progress=plain", "--network=host"]
        command += [f"--tag={request.reference}", f"--file={request.dockerfile}"]
        for name, value in request.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for name, path in request.secrets.items():
            command += ["--secret", f"id={name},src={path}"]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        run_logged(
            [*command, str(request.context)],
            doing=doing,
            log=log,
            timeout_s=timeout_s,
            say=say,
            environment=environment,
        )

    def archive(self, image: StoredImage, target: Path, *, skip_layers: Collection[str], log: Path, say: Say) -> None:
        """See :class:`ImageBuilder`. Docker always writes every layer."""
        check_room(target.parent, image.size_bytes, f"the archive of {image.reference}")
        run_logged(
            [self._program, "save", f"--output={target}", image.reference],
            doing=f"writing the archive of {image.reference}",
            log=log,
            timeout_s=_SAVE_TIMEOUT_S,
            say=say,
        )

    def oci_archive(self, image: StoredImage, target: Path, *, log: Path, say: Say) -> None:
        """See :class:`ImageBuilder`. What Docker saves is an OCI layout since version 25."""
        self.archive(image, target, skip_layers=(), log=log, say=say)

    def stored(self, prefix: str) -> dict[str, str]:
        """See :class:`ImageBuilder`."""
        text = output_of(
            [self._program, "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
            doing="listing docker's images",
        )
        images = dict(line.split() for line in text.splitlines())
        return {name: image_id for name, image_id in images.items() if name.startswith(prefix)}

    def remove(self, references: Collection[str]) -> None:
        """See :class:`ImageBuilder`."""
        if references:
            output_of(
                [self._program, "image", "rm", "--force", *sorted(references)],
                doing="removing images from docker",
                timeout_s=_SAVE_TIMEOUT_S,
            )
