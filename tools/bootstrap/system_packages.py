"""The distribution's programs that the local node, the builds of its images and some tests run.

Owns which program comes in which package, and installs what is missing on Debian and Ubuntu, for root. Their
versions are the distribution's. Elsewhere it says what to install. Docker stands in for buildah, where its
daemon answers. Starts no service, and leaves alone what is there already.
"""

import contextlib
import os
import shutil
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacks.docker import daemon_answers
from stacks.files import file_locked
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import short
from tools.bootstrap.path_programs import is_static
from tools.bootstrap.progress import Progress

NAME = "system packages"

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec/catatonit")
"""Where programs for root lie: Debian leaves them out of the PATH of other users, and Fedora its catatonit of all."""

_CNI_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
"""Where upstream, Debian and Fedora put the network plugins of containers; never PATH."""

_LOCK_TIMEOUT_S = 300

_POLICY = Path("/usr/sbin/policy-rc.d")
_START_NOTHING = (
    "#!/bin/sh\n# Of the set-up of llm-serving, while it installs packages: no service may start.\nexit 101\n"
)
"""What a package's scripts ask before they start a service (policy-rc.d(8)); 101 forbids it."""


@dataclass(frozen=True)
class Package:
    """A package by its names on Debian, Fedora and (where it is of use there) macOS, and the programs that are run."""

    debian: str
    fedora: str
    programs: tuple[str, ...]
    folders: tuple[str, ...] = ()
    """Where its programs lie, if not on PATH."""
    static: bool = False
    """Whether it is put into images that hold no libraries."""
    also_called: tuple[str, ...] = ()
    """Other names of its one program, on other distributions."""
    brew: str = ""
    needed_by: str = "the local node"


_BUILDAH = Package("buildah", "buildah", ("buildah",))

# For `prometheus` itself, which the autoscaling tests run, and for promtool, by which unit tests evaluate queries.
_PROMETHEUS = Package(
    "prometheus",
    "golang-github-prometheus",
    ("prometheus", "promtool"),
    brew="prometheus",
    needed_by="the tests of autoscaling",
)

# Tests push images to it. Upstream, and with it Fedora, calls the program `registry`.
_REGISTRY = Package(
    "docker-registry",
    "docker-distribution",
    ("docker-registry",),
    also_called=("registry",),
    needed_by="the tests of images",
)

# The gateway's counters and cache, as real processes.
_REDIS = Package("redis-server", "redis", ("redis-server", "redis-cli"), brew="redis", needed_by="the tests of images")

# Keys and budgets of the gateway in a table, as a real process.
POSTGRES = Package(
    "postgresql",
    "postgresql-server",
    ("initdb", "postgres"),
    # A folder for each version, never on PATH (Debian); /usr/bin (Fedora); Homebrew's.
    (*(f"/usr/lib/postgresql/{version}/bin" for version in range(19, 13, -1)), "/usr/bin", "/opt/homebrew/bin"),
    brew="postgresql",
    needed_by="the tests of images",
)

_NODE = (
    Package("containerd", "containerd", ("containerd", "containerd-shim-runc-v2", "ctr")),
    Package("runc", "runc", ("runc",)),
    Package(
        "containernetworking-plugins",
        "containernetworking-plugins",
        ("host-local", "loopback", "ptp"),
        _CNI_FOLDERS,
    ),
    Package("nftables", "nftables", ("nft",)),
    Package("iproute2", "iproute", ("ip",)),
    Package("conntrack", "conntrack-tools", ("conntrack",)),
    # What the pods' pause container runs.
    Package("catatonit", "catatonit", ("catatonit",), static=True),
    # Builds as root with `--isolation chroot`, which needs neither of the packages that Debian recommends with it
    # (fuse-overlayfs, crun); the policy.json that it refuses to run without comes with its dependencies.
    _BUILDAH,
    Package("debootstrap", "debootstrap", ("debootstrap",)),
    # The tests of the node run it in containers of their own.
    Package("busybox-static", "busybox", ("busybox",), static=True),
    # Nothing on a node: this group is the one that is there before the unit tests, where packages can be installed.
    _PROMETHEUS,
    _REGISTRY,
    _REDIS,
    POSTGRES,
)

PACKAGES: dict[str, tuple[Package, ...]] = {
    "node": _NODE,
    "autoscaling": (_PROMETHEUS,),
}
"""The packages of each group of tools that needs some."""


@dataclass(frozen=True)
class Machine:
    """What decides which packages are missing, and how they are installed."""

    path: str
    """Folders, joined as in PATH."""
    is_root: bool
    os_release: Path = Path("/etc/os-release")
    policy: Path = _POLICY

    @classmethod
    def this(cls, environment: Mapping[str, str]) -> "Machine":
        """Return this machine, as the environment's PATH shows it."""
        return cls(os.pathsep.join([environment.get("PATH", ""), *_SYSTEM_FOLDERS]), os.geteuid() == 0)

    def missing(self, groups: Iterable[str]) -> dict[Package, list[str]]:
        """Return the packages of these groups of which something is missing, with the programs that are."""
        wanted = [package for group in groups for package in PACKAGES.get(group, ())]
        lacking = {package: programs for package in wanted if (programs := self._lacks(package))}
        if _BUILDAH in lacking and self._docker_answers():
            del lacking[_BUILDAH]
        return lacking

    def families(self) -> set[str]:
        """Return the distribution and those that it derives from, as os-release(5) names them."""
        try:
            lines = self.os_release.read_text().splitlines()
        except OSError:
            return set()
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        return {name for key in ("ID", "ID_LIKE") for name in fields.get(key, "").strip("\"'").split()}

    def is_debian(self) -> bool:
        """Say whether packages come from apt under Debian's names."""
        return "debian" in self.families() and shutil.which("apt-get", path=self.path) is not None

    def _lacks(self, package: Package) -> list[str]:
        # Programs of one package belong together: what containerd gets is one folder of plugins.
        lacking = (
            [
                name
                for name in package.programs
                if not any(_is_in(place, known, static=package.static) for known in (name, *package.also_called))
            ]
            for place in package.folders or (self.path,)
        )
        return min(lacking, key=len)

    def _docker_answers(self) -> bool:
        docker = shutil.which("docker", path=self.path)
        return docker is not None and daemon_answers(docker, os.environ)


def _is_in(path: str, program: str, *, static: bool) -> bool:
    location = shutil.which(program, path=path)
    return location is not None and (not static or is_static(Path(location)))


def ensure(machine: Machine, groups: Sequence[str], progress: Progress, *, cache: Path, logs: Path) -> None:
    """Install the missing packages of these groups, or raise SetupError with their names and the command to install
    them."""
    progress.step(NAME)
    lacking = machine.missing(groups)
    if not lacking:
        return
    if not (machine.is_root and machine.is_debian()):
        raise SetupError(_what_to_install(machine, lacking))
    log = logs / "system-packages.log"
    with file_locked(cache / "system-packages.lock", lambda: progress.say("another set-up is at it; waiting")):
        lacking = machine.missing(groups)
        names = [package.debian for package in lacking]
        if names:
            _install(machine, names, progress, log)
            lacking = machine.missing(groups)
    if lacking:
        raise SetupError(
            f"{NAME}: apt-get installed {', '.join(names)}, but {_listed(lacking)} still missing. "
            f"What it printed is in {short(log)}."
        )


def _install(machine: Machine, names: Sequence[str], progress: Progress, log: Path) -> None:
    progress.say(f"installing {', '.join(names)} with apt-get")
    environment = {**os.environ, "PATH": machine.path, "DEBIAN_FRONTEND": "noninteractive"}
    # Ubuntu's needrestart would restart services of the machine when apt-get ends.
    environment["NEEDRESTART_SUSPEND"] = "1"
    apt = ["apt-get", "-o", f"DPkg::Lock::Timeout={_LOCK_TIMEOUT_S}", "--yes", "--quiet"]
    install = [*apt, "install", "--no-install-recommends", *names]
    try:
        progress.run([*install, "--download-only"], log=log, doing="the download", env=environment)
    except SetupError:
        # The lists of packages are missing, or older than what the mirror holds.
        progress.run([*apt, "update"], log=log, doing="apt-get update", env=environment)
        progress.run([*install, "--download-only"], log=log, doing="the download", env=environment)
    with _no_service_starts(machine.policy):
        progress.run(install, log=log, doing="apt-get install", env=environment, to_the_end=True)
    progress.say(f"installed {', '.join(names)}")


@contextlib.contextmanager
def _no_service_starts(policy: Path) -> Generator[None]:
    """Let no service start; a policy that the machine has already is kept as it is."""
    # A set-up that was killed may have left ours: under the lock, nobody else needs it.
    if policy.exists() and policy.read_bytes() != _START_NOTHING.encode():
        yield
        return
    try:
        policy.write_text(_START_NOTHING)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def _what_to_install(machine: Machine, lacking: Mapping[Package, Sequence[str]]) -> str:
    debian = f"apt-get install --no-install-recommends {' '.join(package.debian for package in lacking)}"
    fedora = f"dnf install {' '.join(package.fedora for package in lacking)}"
    sudo = "" if machine.is_root else "sudo "
    if machine.is_debian():
        commands = [f"  {sudo}{debian}"]
    elif machine.families() & {"fedora", "rhel", "centos"}:
        commands = [f"  {sudo}{fedora}"]
    else:
        commands = [f"  Debian, Ubuntu   {sudo}{debian}", f"  Fedora           {sudo}{fedora}"]
        if all(package.brew for package in lacking):
            commands.append(f"  macOS            brew install {' '.join(package.brew for package in lacking)}")
    return "\n".join(
        [
            f"{NAME}: {_listed(lacking)} missing, needed by {_needed_by(lacking)}."
            " Install the packages and run this again:",
            *commands,
        ]
    )


def _needed_by(lacking: Iterable[Package]) -> str:
    return " and ".join(dict.fromkeys(package.needed_by for package in lacking))


def _listed(lacking: Mapping[Package, Sequence[str]]) -> str:
    programs = [name for names in lacking.values() for name in names]
    return f"{', '.join(programs)} {'is' if len(programs) == 1 else 'are'}"
