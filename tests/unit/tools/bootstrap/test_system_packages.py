"""Packages of the distribution: what counts as there, what is installed and how, and what is said otherwise."""

import dataclasses
import io
import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import ROOT, executable
from tools.bootstrap import system_packages
from tools.bootstrap.errors import SetupError
from tools.bootstrap.progress import Progress
from tools.bootstrap.system_packages import PACKAGES, Machine

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"
FEDORA = "ID=fedora\n"

# What the shell's own commands are called by, with nothing else on PATH.
_SHELL = ("sh", "cat", "echo", "touch", "mkdir", "chmod", "sleep", "test")

# The header of an ELF program for x86-64, with no program headers and so with no dynamic linker.
_STATIC = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
    "<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0
)


class Distribution:
    """A machine with folders of its own, and an apt-get that notes what it is told and under which policy."""

    def __init__(self, folder: Path, os_release: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.plugins = folder / "cni"
        self.other_plugins = folder / "opt"
        self.other_plugins.mkdir()
        self.policy = folder / "policy-rc.d"
        (folder / "os-release").write_text(os_release)
        for name in _SHELL:
            program = shutil.which(name)
            assert program
            (self.bin / name).symlink_to(program)
        places = (str(self.other_plugins), str(self.plugins))
        moved = {
            group: tuple(dataclasses.replace(each, folders=each.folders and places) for each in packages)
            for group, packages in PACKAGES.items()
        }
        monkeypatch.setattr(system_packages, "PACKAGES", moved)
        buildah = next(each for each in moved["node"] if each.debian == "buildah")
        monkeypatch.setattr(system_packages, "_BUILDAH", buildah)

    def machine(self, *, is_root: bool = True) -> Machine:
        return Machine(str(self.bin), is_root, self.folder / "os-release", self.policy)

    def has(self, *packages: str) -> None:
        """Put the programs of these packages where they belong; without names, of all."""
        for package in itertools.chain(*system_packages.PACKAGES.values()):
            if package.debian in packages or not packages:
                for program in package.programs:
                    place = (self.plugins if package.folders else self.bin) / program
                    if package.static:
                        place.write_bytes(_STATIC)
                        place.chmod(0o755)
                    else:
                        executable(place, "exit 0")

    def apt_get_does(self, script: str) -> None:
        executable(
            self.bin / "apt-get",
            f"""
            echo "$*" >> '{self.folder}/calls'
            case "$*" in *--download-only*) kind=download;; *" update"*) kind=update;; *) kind=install;; esac
            {script}
            """,
        )

    def ensure(self, *groups: str, is_root: bool = True) -> str:
        """Ensure the packages of these groups (of the node, if none is named) and return what was printed."""
        printed = io.StringIO()
        system_packages.ensure(
            self.machine(is_root=is_root),
            groups or ("node",),
            Progress(1, stream=printed),
            cache=self.folder / "cache",
            logs=self.folder / "logs",
        )
        return printed.getvalue()

    def calls(self) -> list[str]:
        noted = self.folder / "calls"
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    return Distribution(tmp_path, DEBIAN, monkeypatch)


def _installation(debian: Distribution, *programs: str) -> str:
    """Shell that puts programs on PATH when apt-get installs."""
    made = " ".join(f"'{debian.bin}/{name}'" for name in programs)
    return f"[ $kind != install ] || for p in {made}; do echo '#!/bin/sh' > $p; chmod +x $p; done"


def test_nothing_is_run_where_everything_is_there(debian: Distribution) -> None:
    debian.has()
    debian.apt_get_does("exit 1")

    assert debian.ensure() == ""
    assert debian.calls() == []


def test_exactly_the_missing_packages_are_installed_without_recommended_ones(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "ctr").unlink()
    (debian.bin / "nft").unlink()
    debian.apt_get_does(_installation(debian, "ctr", "nft"))

    printed = debian.ensure()

    download, install = debian.calls()
    assert install.endswith("--yes --quiet install --no-install-recommends containerd nftables")
    assert download == f"{install} --download-only"
    assert "[1/1] system packages: installing containerd, nftables with apt-get\n" in printed


def test_lists_are_renewed_only_if_they_do_not_serve(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "runc").unlink()
    lists = debian.folder / "lists"
    debian.apt_get_does(
        f"case $kind in update) touch '{lists}';; *) test -e '{lists}' || exit 100;; esac;"
        f" {_installation(debian, 'runc')}"
    )

    debian.ensure()

    assert [call.split()[4] for call in debian.calls()] == ["install", "update", "install", "install"]


def test_no_service_may_start_and_no_policy_is_left(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "containerd").unlink()
    policy = debian.policy
    debian.apt_get_does(
        f"[ $kind != install ] || {{ '{policy}' containerd start; echo answer $? >> '{debian.folder}/calls'; }}; "
        + _installation(debian, "containerd")
    )

    debian.ensure()

    assert debian.calls()[-1] == "answer 101"
    assert not policy.exists()


def test_policy_of_the_machine_is_kept(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "containerd").unlink()
    executable(debian.policy, "exit 104")
    before = debian.policy.read_text()
    debian.apt_get_does(_installation(debian, "containerd"))

    debian.ensure()

    assert debian.policy.read_text() == before


def test_policy_that_a_killed_set_up_left_is_removed(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "containerd").unlink()
    debian.policy.write_text(system_packages._START_NOTHING)
    debian.apt_get_does(_installation(debian, "containerd"))

    debian.ensure()

    assert not debian.policy.exists()


def test_failed_install_shows_apts_last_lines_and_leaves_no_policy(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "containerd").unlink()
    debian.apt_get_does("[ $kind != install ] || { echo 'E: You have held broken packages.'; exit 100; }")

    with pytest.raises(SetupError) as failure:
        debian.ensure()

    assert "system packages: apt-get install failed (exit code 100)" in str(failure.value)
    assert "held broken packages" in str(failure.value)
    assert str(debian.folder / "logs" / "system-packages.log") in str(failure.value)
    assert not debian.policy.exists()


def test_package_that_lacks_its_program_is_an_error(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "ctr").unlink()
    debian.apt_get_does("exit 0")

    with pytest.raises(SetupError, match="apt-get installed containerd, but ctr is still missing"):
        debian.ensure()


@pytest.mark.parametrize(
    ("os_release", "command"),
    [
        (DEBIAN, "  sudo apt-get install --no-install-recommends iproute2 conntrack"),
        (UBUNTU, "  sudo apt-get install --no-install-recommends iproute2 conntrack"),
        (FEDORA, "  sudo dnf install iproute conntrack-tools"),
    ],
)
def test_without_root_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, os_release: str, command: str
) -> None:
    distribution = Distribution(tmp_path, os_release, monkeypatch)
    distribution.has()
    for program in ("ip", "conntrack"):
        (distribution.bin / program).unlink()
    if os_release != FEDORA:
        distribution.apt_get_does("exit 0")

    with pytest.raises(SetupError) as refusal:
        distribution.ensure(is_root=False)

    assert "ip, conntrack are missing, needed by the local node." in str(refusal.value)
    assert str(refusal.value).splitlines()[1:] == [command]
    assert distribution.calls() == []


def test_root_of_an_unknown_distribution_is_told_the_names_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = Distribution(tmp_path, "ID=arch\n", monkeypatch)
    distribution.has()
    (distribution.bin / "nft").unlink()

    with pytest.raises(SetupError) as refusal:
        distribution.ensure()

    assert "nft is missing" in str(refusal.value)
    assert [line.split(maxsplit=1)[0] for line in str(refusal.value).splitlines()[1:]] == ["Debian,", "Fedora"]


def test_each_group_gets_its_own_packages_alone(debian: Distribution) -> None:
    debian.has()
    for program in ("prometheus", "nft"):
        (debian.bin / program).unlink()
    debian.apt_get_does(_installation(debian, "prometheus"))

    assert "installed prometheus\n" in debian.ensure("autoscaling")
    assert [package.debian for package in debian.machine().missing(["node", "autoscaling"])] == ["nftables"]


def test_the_program_that_evaluates_queries_comes_with_the_node_and_counts_once(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "promtool").unlink()
    debian.apt_get_does(_installation(debian, "promtool"))

    assert "installed prometheus\n" in debian.ensure("node", "autoscaling")
    assert debian.calls()[-1].endswith("--no-install-recommends prometheus")


def test_on_macos_brew_is_named_for_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    macos = Distribution(tmp_path, "", monkeypatch)
    macos.has()
    (macos.bin / "promtool").unlink()

    with pytest.raises(SetupError) as refusal:
        macos.ensure("autoscaling", is_root=False)

    assert "promtool is missing, needed by the tests of autoscaling." in str(refusal.value)
    assert str(refusal.value).splitlines()[-1] == "  macOS            brew install prometheus"


def test_a_program_counts_by_the_name_that_another_distribution_gives_it(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "docker-registry").rename(debian.bin / "registry")

    assert debian.machine().missing(["node"]) == {}


def test_programs_on_path_are_not_taken_for_network_plugins(debian: Distribution) -> None:
    debian.has()
    for program in ("host-local", "loopback", "ptp"):
        (debian.plugins / program).rename(debian.bin / program)

    assert list(debian.machine().missing(["node"]).values()) == [["host-local", "loopback", "ptp"]]


def test_network_plugins_must_lie_in_one_folder(debian: Distribution) -> None:
    debian.has()
    (debian.plugins / "ptp").rename(debian.other_plugins / "ptp")

    assert list(debian.machine().missing(["node"]).values()) == [["ptp"]]


def test_program_for_images_without_libraries_must_be_static(debian: Distribution) -> None:
    debian.has()
    (debian.bin / "busybox").unlink()
    echo = shutil.which("echo")
    assert echo
    (debian.bin / "busybox").symlink_to(echo)

    assert [package.debian for package in debian.machine().missing(["node"])] == ["busybox-static"]


@pytest.mark.parametrize(("answers", "missing"), [("exit 0", []), ("echo Client; exit 1", ["buildah"])])
def test_docker_stands_in_for_buildah_if_its_daemon_answers(
    debian: Distribution, answers: str, missing: list[str]
) -> None:
    debian.has()
    (debian.bin / "buildah").unlink()
    executable(debian.bin / "docker", answers)

    assert [package.debian for package in debian.machine().missing(["node"])] == missing


_STOPPED = """
import pathlib, signal, sys
from tools.bootstrap import system_packages
from tools.bootstrap.progress import Progress
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
folder = pathlib.Path(sys.argv[1])
with system_packages._no_service_starts(folder / "policy-rc.d"):
    Progress(1).run(["sh", folder / "install"], log=folder / "log", doing="it", to_the_end=True)
"""


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        time.sleep(0.02)


def test_stopped_set_up_lets_the_installation_end_and_removes_its_policy(tmp_path: Path) -> None:
    executable(
        tmp_path / "install",
        f"""
        trap 'touch {tmp_path}/ended' TERM
        touch {tmp_path}/begun
        while [ ! -e {tmp_path}/go-on ]; do sleep 0.05; done
        touch {tmp_path}/finished
        """,
    )
    process = subprocess.Popen([sys.executable, "-c", _STOPPED, tmp_path], cwd=ROOT)
    _wait_for((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "go-on").touch()
    process.wait(timeout=30)

    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "finished").exists()
    assert not (tmp_path / "ended").exists()
    assert not (tmp_path / "policy-rc.d").exists()


def _apt_knows(*packages: str) -> set[str]:
    """Those that apt has; in one question, because it reads its lists each time."""
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", *packages],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return {line.removeprefix("Package: ") for line in shown.stdout.splitlines() if line.startswith("Package: ")}


@pytest.mark.skipif(
    shutil.which("apt-cache") is None or not _apt_knows("containerd"),
    reason="apt has no lists of packages here: the Debian names were not checked",
)
def test_debian_has_packages_of_these_names() -> None:
    names = {each.debian for each in itertools.chain(*PACKAGES.values())}
    assert names - _apt_knows(*names) == set()
