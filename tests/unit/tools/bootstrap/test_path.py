"""Which programs on PATH are taken, and which are passed over."""

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import ROOT, Workshop, executable
from tools.bootstrap import path_programs
from tools.bootstrap.golang import pinned
from tools.bootstrap.recipes import GROUPS, Program
from tools.bootstrap.versions import Range, parse

FITS = Range((1, 34, 0), (1, 35, 0))


def _program_folder(folder: Path, text: str, name: str = "tiny") -> str:
    executable(folder / name, f"echo '{text}'")
    return str(folder)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Kubernetes v1.34.4", (1, 34, 4)),
        ("kwok version 0.8.0 go1.26 (linux/amd64)", (0, 8, 0)),
        ("etcd Version: 3.6.15\nGit SHA: 8d5b0b1", (3, 6, 15)),
        ("v3.255.0", (3, 255, 0)),
        ("uv 0.13.9 (x86_64-unknown-linux-gnu)", (0, 13, 9)),
        ("go1.26", (1, 26, 0)),
        ("no version here", None),
    ],
)
def test_version_is_read_as_programs_print_it(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse(text) == version


def test_fitting_program_on_path_is_taken(tmp_path: Path) -> None:
    path = _program_folder(tmp_path, "Kubernetes v1.34.9")

    assert path_programs.find("tiny", FITS, path) == path_programs.PathProgram(tmp_path / "tiny", "1.34.9")


@pytest.mark.parametrize("text", ["Kubernetes v1.33.9", "Kubernetes v1.35.0", "Kubernetes", ""])
def test_other_versions_are_passed_over(tmp_path: Path, text: str) -> None:
    assert path_programs.find("tiny", FITS, _program_folder(tmp_path, text)) is None


def test_fitting_program_behind_an_unfit_one_is_found(tmp_path: Path) -> None:
    path = os.pathsep.join([_program_folder(tmp_path / "old", "v1.20.0"), _program_folder(tmp_path / "new", "v1.34.1")])

    assert path_programs.find("tiny", FITS, path) == path_programs.PathProgram(tmp_path / "new" / "tiny", "1.34.1")


def test_program_that_fails_when_asked_is_passed_over(tmp_path: Path) -> None:
    executable(tmp_path / "tiny", "echo v1.34.0; exit 127")

    assert path_programs.find("tiny", FITS, str(tmp_path)) is None


def test_program_without_its_companions_is_passed_over(tmp_path: Path) -> None:
    path = _program_folder(tmp_path, "v1.34.0")
    assert path_programs.find("tiny", FITS, path, companions=["tiny-language-python"]) is None

    _program_folder(tmp_path, "", name="tiny-language-python")
    assert path_programs.find("tiny", FITS, path, companions=["tiny-language-python"]) is not None


@pytest.mark.skipif(not Path("/sbin/ldconfig").exists(), reason="this system has no program known to be static")
def test_where_no_libraries_are_only_a_static_program_fits(tmp_path: Path) -> None:
    every = Range((0, 0, 0), (99, 0, 0))
    echo = shutil.which("echo")
    assert echo
    for folder, program in (("dynamic", echo), ("static", "/sbin/ldconfig")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny").symlink_to(program)
    _program_folder(tmp_path / "script", "v1.34.0")
    path = os.pathsep.join(str(tmp_path / folder) for folder in ("script", "dynamic", "static"))

    taken = [path_programs.find("tiny", every, path, static=static) for static in (False, True)]

    assert [each and each.path.parent.name for each in taken] == ["script", "static"]


def test_our_own_links_on_path_do_not_count_as_found(tmp_path: Path) -> None:
    own, other = tmp_path / ".tools" / "bin", tmp_path / "usr"
    (tmp_path / "alias").symlink_to(own)
    path = os.pathsep.join(str(folder) for folder in (own, tmp_path / "alias", other))

    assert path_programs.search_path(path, [own]) == str(other)


def test_set_up_links_the_program_of_path_and_builds_nothing(workshop: Workshop, tmp_path: Path) -> None:
    _program_folder(tmp_path / "usr", "tiny 1.9.0")
    done = workshop.setup(tmp_path / "usr", workshop.go_builds_by("exit 1"))

    assert done.returncode == 0, done.stdout
    assert os.readlink(workshop.folders.view / "bin" / "tiny") == str(tmp_path / "usr" / "tiny")
    assert workshop.builds() == 0


@pytest.mark.parametrize(
    "program",
    [recipe for group in GROUPS.values() for recipe in group if isinstance(recipe, Program)],
    ids=lambda program: program.name,
)
def test_pinned_version_would_itself_be_taken_from_path(program: Program) -> None:
    version = parse(pinned(ROOT / "tools" / "go" / program.wrapper, program.build.module))

    assert version is not None
    assert version in program.fits
