"""The base image where there is no registry: the distribution of this machine, from the mirror that its apt uses.

Owns the root file system: which packages are in it, and that nothing of this machine's settings stays there (the
mirror's address included, so apt inside finds no package; what the images need is in the base already).
"""

import os
import platform
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.images.logged_commands import Say, output_of, run_logged
from stacks.images import ImageError

PACKAGES: tuple[tuple[str, ...], ...] = (
    ("ca-certificates",),
    ("python3",),
    ("python3-venv",),
    ("libnuma1",),
    ("libtcmalloc-minimal4t64", "libtcmalloc-minimal4"),
)
"""What is in the base beside the distribution's minimum, each by the names that it has had."""

DOCKERFILE = 'FROM scratch\nADD rootfs.tar /\nCMD ["/bin/sh"]\n'
NEEDED_BYTES = 1_000_000_000
"""Root file system, its archive and the image, while all are there."""

_TIMEOUT_S = 900
_EMPTIED = ("var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log", "tmp")
_REMOVED = ("etc/apt/sources.list", "etc/resolv.conf", "etc/hostname", "etc/machine-id")


@dataclass(frozen=True)
class Distribution:
    """The distribution of this machine.

    Attributes:
        identity: ``debian`` or ``ubuntu``.
        suite: its release, such as ``bookworm``.
    """

    identity: str
    suite: str


def distribution(os_release: Path = Path("/etc/os-release")) -> Distribution:
    """Read which distribution runs here.

    Raises:
        ImageError: neither Debian nor Ubuntu.
    """
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = {key: value.strip("\"'") for key, mark, value in (line.partition("=") for line in lines) if mark}
    identity, suite = fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
    if identity not in ("debian", "ubuntu") or not suite:
        raise ImageError(
            f"the base image is made from Debian or Ubuntu; this is {fields.get('PRETTY_NAME', 'something else')!r}. "
            "Run Docker, whose base comes from a registry, or let LLM_SERVING_BASE_IMAGE name an image that is there."
        )
    return Distribution(identity, suite)


def recipe(source: Distribution) -> tuple[str, ...]:
    """All that decides what is in the base, except what the mirror holds today."""
    names = ["/".join(names) for names in PACKAGES]
    return (source.identity, source.suite, platform.machine(), DOCKERFILE, *names, *_EMPTIED, *_REMOVED)


def make_context(source: Distribution, folder: Path, *, log: Path, say: Say, timeout_s: float = _TIMEOUT_S) -> None:
    """Make the context of the base image's build: a Dockerfile and the root file system as an archive.

    Args:
        source: the distribution to make it from.
        folder: folder to make; it must not exist.
        log: where debootstrap's output goes.
        say: gets lines of progress.
        timeout_s: seconds for debootstrap.

    Raises:
        ImageError: no debootstrap, no root, no mirror, or debootstrap failed.
    """
    program = shutil.which("debootstrap", path=_search_path())
    if program is None:
        raise ImageError("debootstrap is not installed, and makes the base image (try: make setup-node)")
    if os.geteuid() != 0:
        raise ImageError("the base image is made by debootstrap, which needs root (or run Docker)")
    root = folder / "rootfs"
    root.mkdir(parents=True)
    mirror = _mirror(source)
    include = ",".join(_available(names) for names in PACKAGES)
    command = [program, "--variant=minbase", f"--include={include}", source.suite, str(root), mirror]
    # Its mounts (proc, sys) stay in a mount namespace that ends with it, however it ends.
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", *command]
    environment = {**os.environ, "PATH": _search_path(), "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(command, doing="debootstrap", log=log, timeout_s=timeout_s, say=say, environment=environment)
    _strip(root)
    with tarfile.open(folder / "rootfs.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(root, arcname=".", filter=_owned_by_number)
    shutil.rmtree(root)
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")


def _owned_by_number(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uname = entry.gname = ""
    return entry


def _strip(root: Path) -> None:
    for name in _EMPTIED:
        for child in (root / name).glob("*"):
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    for name in _REMOVED:
        (root / name).unlink(missing_ok=True)


def apt_sources(source: Distribution) -> str:
    """What this machine's apt gets packages from, as lines of a ``sources.list``: the suite, its updates and its
    security updates.

    Raises:
        ImageError: apt's settings cannot be read.
    """
    suites = (source.suite, f"{source.suite}-updates", f"{source.suite}-security")
    return "".join(f"deb {' '.join(target)}\n" for target in _targets() if target[1] in suites)


def _mirror(source: Distribution) -> str:
    """The address that this machine's apt gets the distribution from."""
    for address, *suite in _targets():
        if suite == [source.suite, "main"]:
            return address
    raise ImageError(
        f"apt's settings name no mirror for {source.identity} {source.suite}, component main "
        "(see /etc/apt/sources.list and sources.list.d)"
    )


def _targets() -> list[list[str]]:
    """Address, suite and component of each list of packages that this machine's apt reads."""
    listed = output_of(
        ["apt-get", "indextargets", "--format", "$(IDENTIFIER) $(REPO_URI) $(RELEASE) $(COMPONENT)"],
        doing="reading apt's settings",
    )
    fields = [line.split() for line in listed.splitlines()]
    return [target[1:] for target in fields if len(target) == 4 and target[0] == "Packages"]


def _available(names: tuple[str, ...]) -> str:
    """The first of a package's names that apt knows; the last where it knows none, for debootstrap to say so."""
    if len(names) == 1:
        return names[0]
    known = output_of(["apt-cache", "pkgnames"], doing="reading apt's list of packages").split()
    return next((name for name in names if name in known), names[-1])


def _search_path(environment: Mapping[str, str] = os.environ) -> str:
    return os.pathsep.join([environment.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
