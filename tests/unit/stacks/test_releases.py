"""A release means the same for ever: what was locked can only be added to."""

import shutil
from pathlib import Path

import pytest

from llm_serving.errors import ProblemsError
from stacks.releases import LOCK, RELEASES, lock_releases, read_releases

ONE = "qwen3-0-6b/1.0.0.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the committed releases."""
    target = tmp_path / "releases"
    shutil.copytree(RELEASES, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def test_every_committed_release_matches_its_lock() -> None:
    assert len(read_releases()) == len(list(RELEASES.glob("*/*.yaml")))


def test_a_changed_release_is_refused_with_what_to_do(folder: Path) -> None:
    text = (folder / ONE).read_text()
    (folder / ONE).write_text(text.replace("contextLength: 8192", "contextLength: 4096"))
    with pytest.raises(
        ProblemsError, match=rf"{ONE}.*changed after .* was locked.*add a new version, for example 1\.1\.0"
    ):
        read_releases(folder)
    before = (folder / LOCK).read_text()
    with pytest.raises(ProblemsError, match="add a new version"):
        lock_releases(folder)
    assert (folder / LOCK).read_text() == before


def test_a_comment_changes_nothing(folder: Path) -> None:
    (folder / ONE).write_text("# a note\n" + (folder / ONE).read_text())
    read_releases(folder)


def test_a_removed_release_is_refused(folder: Path) -> None:
    (folder / ONE).unlink()
    with pytest.raises(ProblemsError, match=r"releases are never removed.*restore the file"):
        read_releases(folder)


def test_a_new_release_is_refused_until_it_is_locked(folder: Path) -> None:
    new = folder / "qwen3-0-6b/1.2.0.yaml"
    new.write_text((folder / ONE).read_text().replace("version: 1.0.0", "version: 1.2.0"))
    with pytest.raises(ProblemsError, match=r"1\.2\.0\.yaml: not in releases\.lock\.yaml.*stacks release lock"):
        read_releases(folder)
    assert lock_releases(folder) == ["qwen3-0-6b/1.2.0.yaml"]
    assert ("qwen3-0-6b", "1.2.0") in read_releases(folder)
    assert lock_releases(folder) == []


def test_a_release_says_the_same_as_its_path(folder: Path) -> None:
    (folder / ONE).write_text((folder / ONE).read_text().replace("version: 1.0.0", "version: 1.0.1"))
    with pytest.raises(
        ProblemsError, match=r"1\.0\.0\.yaml: version = '1\.0\.1': differs from the file's own path.*1\.0\.0"
    ):
        read_releases(folder)


def test_a_branch_is_no_revision(folder: Path) -> None:
    new = folder / "qwen3-0-6b/1.2.0.yaml"
    text = (folder / ONE).read_text().replace("version: 1.0.0", "version: 1.2.0")
    new.write_text(text.replace("c1899de289a04d12100db370d81485cdf75e47ca", "main"))
    with pytest.raises(ProblemsError, match=r"1\.2\.0\.yaml: model\.revision = 'main'"):
        read_releases(folder)
