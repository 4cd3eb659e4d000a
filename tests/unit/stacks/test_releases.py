"""A release means the same for ever: what was locked can only be added to."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_serving.errors import ProblemsError
from stacks.images.lock import LOCK as IMAGES_LOCK
from stacks.images.lock import LockedImage, read_images, write_image
from stacks.releases import (
    LOCK,
    RELEASES,
    Added,
    add_release,
    adding,
    lock_releases,
    precedence,
    read_releases,
    verify_releases,
)
from stacks.releases.versions import next_minor
from tests.unit.stacks.settings_files import copy_releases

MODEL = "qwen3-0-6b"
ONE = f"{MODEL}/1.0.0.yaml"
REVISION = "0123456789" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the committed releases."""
    return copy_releases(tmp_path / "releases")


def add(folder: Path, version: str, *changes: str, **more: Any) -> Added:
    return add_release(MODEL, version, **{"base": "1.0.0", "changes": changes, "folder": folder} | more)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_every_committed_release_matches_its_lock() -> None:
    assert len(read_releases()) == len(list(RELEASES.glob("*/*.yaml")))


def test_a_hash_is_of_what_the_file_says_and_not_of_fields_that_came_later() -> None:
    """Released in the first version, before adapters and parsers were fields of a release."""
    sha256 = read_releases()[MODEL, "1.0.0"].sha256
    assert sha256 == "c4130414e38e8b3620c84c7f2ecdb9ea3654bd2b5d20d64f577791e763d6ec8f"


def test_a_changed_release_is_refused_with_what_to_do(folder: Path) -> None:
    edit(folder / ONE, "contextLength: 8192", "contextLength: 4096")
    with pytest.raises(
        ProblemsError, match=rf"{ONE}.*changed after .* was locked.*add a new version, for example 1\.2\.0"
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


def test_a_release_written_by_hand_is_refused_until_it_is_locked(folder: Path) -> None:
    new = folder / MODEL / "1.2.0.yaml"
    new.write_text((folder / ONE).read_text().replace("version: 1.0.0", "version: 1.2.0"))
    with pytest.raises(ProblemsError, match=r"1\.2\.0\.yaml: not in releases\.lock\.yaml.*stacks release lock"):
        read_releases(folder)
    assert lock_releases(folder) == ["qwen3-0-6b/1.2.0.yaml"]
    assert (MODEL, "1.2.0") in read_releases(folder)
    assert lock_releases(folder) == []


def test_a_release_says_the_same_as_its_path(folder: Path) -> None:
    edit(folder / ONE, "version: 1.0.0", "version: 1.0.1")
    with pytest.raises(
        ProblemsError, match=r"1\.0\.0\.yaml: version = '1\.0\.1': differs from the file's own path.*1\.0\.0"
    ):
        read_releases(folder)


def test_a_branch_is_no_revision(folder: Path) -> None:
    new = folder / MODEL / "1.2.0.yaml"
    text = (folder / ONE).read_text().replace("version: 1.0.0", "version: 1.2.0")
    new.write_text(text.replace("c1899de289a04d12100db370d81485cdf75e47ca", "main"))
    with pytest.raises(ProblemsError, match=r"1\.2\.0\.yaml: model\.revision = 'main'"):
        read_releases(folder)


@pytest.mark.parametrize("broken", ["- a list\n", "qwen3-0-6b/1.0.0.yaml: 12\n", "just a text\n"])
def test_a_lock_that_is_no_table_of_hashes_is_refused(folder: Path, broken: str) -> None:
    (folder / LOCK).write_text(broken)
    with pytest.raises(ProblemsError, match=r"releases\.lock\.yaml.*not a table of files and their hashes"):
        read_releases(folder)


# Adding


def test_an_added_release_differs_from_its_base_in_what_was_set_and_is_locked(folder: Path) -> None:
    before = content(folder)
    added = add(folder, "1.2.0", f"model.revision={REVISION}", "sampling.temperature=0.7", "context_length=4096")
    release = read_releases(folder)[MODEL, "1.2.0"]
    assert release == added.release
    base = read_releases(folder)[MODEL, "1.0.0"].spec
    source = base.model.model_copy(update={"revision": REVISION})
    changes = {"version": "1.2.0", "model": source, "sampling": {"temperature": 0.7}, "context_length": 4096}
    assert release.spec == base.model_copy(update=changes)
    after = content(folder)
    assert {name for name in after if after[name] != before.get(name)} == {f"{MODEL}/1.2.0.yaml", LOCK}
    lines = (folder / LOCK).read_text().splitlines()
    assert {line for line in before[LOCK].decode().splitlines() if not line.startswith("#")} < set(lines)


def test_an_added_release_says_nothing_that_its_base_left_open(folder: Path) -> None:
    add(folder, "1.2.0", "contextLength=4096")
    written = yaml.safe_load((folder / MODEL / "1.2.0.yaml").read_text())
    assert list(written) == list(yaml.safe_load((folder / ONE).read_text()))


def test_a_release_is_added_from_a_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.yaml"
    data = yaml.safe_load((folder / ONE).read_text())
    template = "{% for message in messages %}\n{{ message.content }}\n{% endfor %}\n"
    file.write_text(yaml.safe_dump({key: data[key] for key in data if key != "version"} | {"chatTemplate": template}))
    add(folder, "2.0.0", base=None, source=file)
    assert read_releases(folder)[MODEL, "2.0.0"].spec.chat_template == template
    assert "{{ message.content }}\n" in (folder / MODEL / "2.0.0.yaml").read_text()


def test_a_model_gets_its_first_release_from_a_file(folder: Path) -> None:
    data = yaml.safe_load((folder / ONE).read_text())
    first = folder.parent / "first.yaml"
    first.write_text(yaml.safe_dump({key: data[key] for key in data if key not in ("name", "version")}))
    add_release("mine", "1.0.0", source=first, folder=folder)
    assert read_releases(folder)["mine", "1.0.0"].spec.name == "mine"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("1.1.0", {}, r"1\.1\.0\.yaml.*exists already; releases are never changed.*for example 1\.2\.0"),
    ("1.2", {}, r"version = '1\.2'"),
    ("1.2.0", {"base": "1.0.1"}, r"--from = '1\.0\.1': qwen3-0-6b has no such release.*1\.0\.0"),
    ("1.2.0", {"base": None}, r"nothing to start from.*--file"),
    ("1.2.0", {"changes": ["model.revision=main"]}, r"1\.2\.0\.yaml: model\.revision = 'main'"),
    ("1.2.0", {"changes": ["modle.revision=x"]}, r"modle.*unknown key.*model"),
    ("1.2.0", {"changes": ["quantization.bits=4"]}, "quantization is not a group of keys"),
    ("1.2.0", {"changes": ["version=9.9.9"]}, "is the release's own"),
    ("1.2.0", {"changes": ["contextLength"]}, "not a change"),
    ("1.2.0", {"changes": ["contextLength=1", "contextLength=2"]}, "given twice"),
    ("1.2.0", {"changes": ["chatTemplate=null"]}, "cannot be removed"),
    ("1.2.0", {"changes": ["contextLength=50000"]}, r"contextLength = 50000: qwen3-0\.6b was made for at most 40960"),
    ("1.2.0", {"changes": ["model.architecture=qwen3-0.7b"]}, r"not in the catalog.*qwen3-0\.6b"),
    ("1.2.0", {"changes": ["engine.version=0.33.0", "image.digest=null"]}, "cannot be removed"),
]


@pytest.mark.parametrize(("version", "more", "message"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_cannot_be_a_release_is_refused_and_nothing_is_written(
    folder: Path, version: str, more: dict[str, Any], message: str
) -> None:
    before = content(folder)
    with pytest.raises(ProblemsError, match=message):
        add(folder, version, **more)
    assert content(folder) == before


def test_a_file_that_names_another_version_is_refused(folder: Path) -> None:
    with pytest.raises(ProblemsError, match=r"version = '1\.0\.0': differs from what is added.*1\.2\.0"):
        add(folder, "1.2.0", base=None, source=folder / ONE)


def test_nothing_is_added_beside_a_release_that_was_changed(folder: Path) -> None:
    edit(folder / ONE, "contextLength: 8192", "contextLength: 4096")
    with pytest.raises(ProblemsError, match="was locked"):
        add(folder, "1.2.0")
    assert not (folder / MODEL / "1.2.0.yaml").exists()


def test_the_tag_of_an_image_follows_the_engines_version(folder: Path) -> None:
    added = add(folder, "1.2.0", "engine.version=0.33.0")
    assert added.release.spec.image.tag == "v0.33.0"
    assert any("image.tag follows" in note for note in added.notes)
    assert add(folder, "1.3.0", "engine.version=0.33.0", "image.tag=nightly").release.spec.image.tag == "nightly"


def test_another_engine_with_the_same_image_is_refused(folder: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    add(folder, "1.2.0", f"image.digest={digest}")
    with pytest.raises(ProblemsError, match=r"image: is still the image of engine 0\.32\.0.*0\.33\.0.*--set image"):
        add(folder, "1.3.0", "engine.version=0.33.0", base="1.2.0")


def test_a_text_stays_a_text_whatever_it_looks_like(folder: Path) -> None:
    assert add(folder, "1.2.0", "image.tag=1.10").release.spec.image.tag == "1.10"
    assert add(folder, "1.3.0", "model.license=no").release.spec.model.license == "no"


@pytest.mark.parametrize("template", ["{{ messages }}", "{% for m in messages %}{{ m.content }}{% endfor %}"])
def test_a_template_need_not_be_yaml(folder: Path, template: str) -> None:
    asks = "{% for message in messages %}{{ message.content }}{% endfor %}"
    first = add(folder, "1.2.0", f"chatTemplate={asks}")
    assert first.release.spec.chat_template == asks
    assert add(folder, "1.3.0", f"chatTemplate={template}", base="1.2.0").release.spec.chat_template == template
    assert add(folder, "1.4.0", "chatTemplate=null", base="1.3.0").release.spec.chat_template is None


def test_a_key_that_is_no_single_value_is_refused(folder: Path) -> None:
    with pytest.raises(ProblemsError, match=r"--set sampling: not valid YAML: a key is no single value, line 1"):
        add(folder, "1.2.0", "sampling={{a: 1}: 2}")


def test_null_takes_a_key_away(folder: Path) -> None:
    add(folder, "1.2.0", "sampling={temperature: 0.7, top_p: 0.9}")
    assert add(folder, "1.3.0", "sampling.top_p=null", base="1.2.0").release.spec.sampling == {"temperature": 0.7}


def test_a_step_back_within_a_minor_version_is_told_and_one_beside_it_is_not(folder: Path) -> None:
    pinned = f"image.digest=sha256:{'0' * 64}"
    assert add(folder, "1.0.3", "contextLength=4096", pinned).notes == ()
    (note,) = add(folder, "1.0.2", "contextLength=2048", pinned).notes
    assert "1.0.2 is below 1.0.3" in note
    assert add(folder, "0.9.0", "contextLength=1024", pinned).notes == ()


def test_a_release_that_changes_nothing_is_told(folder: Path) -> None:
    assert "nothing but the version differs from 1.0.0: it will answer the same" in add(folder, "1.2.0").notes


def test_an_interrupted_addition_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(_folder: Path) -> list[str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    first = folder.parent / "first.yaml"
    data = yaml.safe_load((folder / ONE).read_text())
    first.write_text(yaml.safe_dump({key: data[key] for key in data if key not in ("name", "version")}))
    before = content(folder)
    monkeypatch.setattr(adding, "write_lock", disk_full)
    with pytest.raises(OSError, match="No space left"):
        add(folder, "1.2.0")
    with pytest.raises(OSError, match="No space left"):
        add_release("mine", "1.0.0", source=first, folder=folder)
    assert content(folder) == before
    assert not (folder / "mine").exists()


def test_releases_that_are_added_at_once_are_all_locked(folder: Path) -> None:
    versions = [f"2.{number}.0" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda version: add(folder, version), versions))
    assert {(MODEL, version) for version in versions} <= set(read_releases(folder))


# Order of versions

IN_ORDER = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
"""The example of semantic versioning 2.0.0, section 11."""


def test_versions_are_ordered_as_semantic_versioning_says() -> None:
    versions = [*IN_ORDER, "1.9.0", "1.10.0", "2.0.0"]
    shuffled = sorted(versions, key=lambda version: version[::-1])
    assert shuffled != versions
    assert sorted(shuffled, key=precedence) == versions


def test_a_suggested_version_is_free() -> None:
    assert next_minor("1.0.0", ["1.0.0", "1.1.0", "1.2.0"]) == "1.3.0"
    assert next_minor("1.9.0-rc.1", []) == "1.10.0"


# History


class Repository:
    """A real git repository whose main branch has the committed releases, and a branch that grew from it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = root / "stacks/releases"
        copy_releases(self.releases)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("releases")
        self.git("switch", "--quiet", "--create", "change")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def relock(self) -> None:
        """What somebody does who wants an edit to pass."""
        (self.releases / LOCK).unlink()
        lock_releases(self.releases)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Repository(tmp_path / "repository")


def change_release(repository: Repository) -> None:
    edit(repository.releases / ONE, "contextLength: 8192", "contextLength: 4096")


def remove_release(repository: Repository) -> None:
    (repository.releases / ONE).unlink()


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "in the working tree"])
@pytest.mark.parametrize("tamper", [change_release, remove_release])
def test_history_refuses_what_was_edited_together_with_the_lock(
    repository: Repository, tamper: Callable[[Repository], None], is_committed: bool
) -> None:
    tamper(repository)
    repository.relock()
    read_releases(repository.releases)
    if is_committed:
        repository.commit("an edit that no lock refuses")
    with pytest.raises(ProblemsError, match=rf"{ONE}.*(changed, together with|never removed)"):
        verify_releases(repository.releases, "main")


def test_history_refuses_an_image_that_is_another_or_gone(repository: Repository) -> None:
    images = yaml.safe_load((repository.releases / IMAGES_LOCK).read_text())
    images["model-loader@0.1.0"]["repository"] = "registry.test/model-loader"
    images["model-loader@0.1.0"]["digest"] = "sha256:" + "0" * 64
    (repository.releases / IMAGES_LOCK).write_text(yaml.safe_dump(images))
    verify_releases(repository.releases, "main")  # what was missing is filled in
    repository.commit("pushed")
    repository.git("branch", "--force", "main")
    images["model-loader@0.1.0"]["digest"] = "sha256:" + "1" * 64
    del images["vllm-openai@0.32.0"]
    (repository.releases / IMAGES_LOCK).write_text(yaml.safe_dump(images))
    with pytest.raises(
        ProblemsError, match=r"model-loader@0\.1\.0\.digest.*written once(.|\n)*vllm-openai@0\.32\.0: was removed"
    ):
        verify_releases(repository.releases, "main")


def test_history_accepts_what_was_added(repository: Repository) -> None:
    count = len(read_releases(repository.releases))
    add(repository.releases, "1.2.0", "contextLength=4096")
    repository.commit("a release")
    verified = verify_releases(repository.releases, "main")
    assert (verified.release_count, verified.earlier_count) == (count + 1, count)
    assert verified.compared_with.startswith("main (")


def test_what_others_added_meanwhile_is_not_missed(repository: Repository) -> None:
    """Compared is the common ancestor: main may have releases that this branch has not seen."""
    repository.git("switch", "--quiet", "main")
    add(repository.releases, "1.2.0", "contextLength=4096")
    repository.commit("a release of somebody else")
    repository.git("switch", "--quiet", "change")
    assert verify_releases(repository.releases, "main").not_compared == ""


def test_a_comment_is_no_change_of_history_either(repository: Repository) -> None:
    file = repository.releases / ONE
    file.write_text("# a note\n" + file.read_text())
    verify_releases(repository.releases, "main")


def test_by_default_the_branch_of_origin_is_compared_with_and_else_the_last_commit(repository: Repository) -> None:
    assert verify_releases(repository.releases).compared_with.startswith("HEAD (")
    change_release(repository)
    repository.relock()
    repository.commit("an edit that no lock refuses")
    assert verify_releases(repository.releases).compared_with.startswith("HEAD (")
    repository.git("update-ref", "refs/remotes/origin/main", "main")
    with pytest.raises(ProblemsError, match="origin/main has c4130414e38e"):
        verify_releases(repository.releases)


def test_the_check_works_inside_a_hook_of_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git tells its hooks of a repository and an index by relative paths."""
    monkeypatch.setenv("GIT_DIR", "somewhere/else")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert verify_releases(repository.releases, "main").earlier_count


def test_without_git_it_is_said_that_history_was_not_compared(folder: Path) -> None:
    verified = verify_releases(folder)
    assert verified.compared_with == ""
    assert "not a git repository" in verified.not_compared


def test_a_machine_without_git_can_still_check_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert "git cannot be run" in verify_releases(folder).not_compared
    with pytest.raises(ProblemsError, match="git cannot be run"):
        verify_releases(folder, "main")


def test_a_branch_that_is_named_must_be_there(repository: Repository, folder: Path) -> None:
    with pytest.raises(ProblemsError, match=r"--against = 'origin/main': cannot be compared with.*git fetch"):
        verify_releases(repository.releases, "origin/main")
    with pytest.raises(ProblemsError, match="not a git repository"):
        verify_releases(folder, "main")


def test_a_branch_without_a_common_commit_is_refused(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--orphan", "alone")
    Path(repository.root / "a").write_text("a")
    repository.commit("alone")
    repository.git("switch", "--quiet", "change")
    with pytest.raises(ProblemsError, match="no common commit"):
        verify_releases(repository.releases, "alone")


def test_a_commit_that_had_no_releases_asks_for_nothing(repository: Repository) -> None:
    first = repository.git("commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", "empty")
    repository.git("switch", "--quiet", "--detach", first)
    add_all = shutil.copytree(RELEASES, repository.releases, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    assert verify_releases(add_all, first).earlier_count == 0


# --- images by name


NAMED = "image=vllm-openai@0.32.0"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def pin(folder: Path, name: str = "vllm-openai@0.32.0", digest: str = DIGEST) -> None:
    write_image(folder, name, read_images(folder)[name].model_copy(update={"digest": digest}))


def test_a_release_names_an_image_of_the_lock_whose_entry_is_part_of_its_hash(folder: Path) -> None:
    pin(folder)
    added = add(folder, "1.2.0", NAMED, "contextLength=4096").release
    assert "image: vllm-openai@0.32.0\n" in (folder / added.file).read_text()
    assert added.spec.image.reference == f"docker.io/vllm/vllm-openai@{DIGEST}"
    assert read_releases(folder)[MODEL, "1.2.0"] == added
    assert (added.sha256, added.image_name) == (added.lock_line, "vllm-openai@0.32.0")
    edit(folder / IMAGES_LOCK, DIGEST, "sha256:" + "f" * 64)
    with pytest.raises(ProblemsError, match=rf"{MODEL}/1\.2\.0\.yaml.*changed after"):
        read_releases(folder)


def test_a_digest_that_comes_later_changes_the_hash_and_not_the_lock(folder: Path) -> None:
    """Two stacks of which one pulls by tag do not serve the same, but the file is as it was locked."""
    before = add(folder, "1.2.0", NAMED)
    assert any("no digest: stacks images pin vllm-openai@0.32.0" in note for note in before.notes)
    lock = (folder / LOCK).read_text()
    pin(folder)
    after = read_releases(folder)[MODEL, "1.2.0"]
    assert after.sha256 != before.release.sha256
    assert after.written_sha256 == before.release.written_sha256
    add(folder, "1.3.0", NAMED)
    assert set(lock.splitlines()) < set((folder / LOCK).read_text().splitlines())
    edit(folder / f"{MODEL}/1.2.0.yaml", "image: vllm-openai@0.32.0", "image: model-loader@0.1.0")
    with pytest.raises(ProblemsError, match="changed after"):
        read_releases(folder)


def test_an_image_that_the_lock_lacks_is_refused_with_the_command_that_adds_it(folder: Path) -> None:
    before = content(folder)
    with pytest.raises(ProblemsError, match=r"1\.2\.0\.yaml: image = .*stacks images pin vllm-openai@0\.33\.0 --image"):
        add(folder, "1.2.0", "image=vllm-openai@0.33.0")
    assert content(folder) == before


def test_a_named_image_follows_the_engines_version_where_the_lock_has_it(folder: Path) -> None:
    add(folder, "1.2.0", NAMED)
    with pytest.raises(ProblemsError, match=r"stacks images pin vllm-openai@0\.33\.0 --image .*--set image="):
        add(folder, "1.3.0", "engine.version=0.33.0", base="1.2.0")
    newer = LockedImage(repository="docker.io/vllm/vllm-openai", tag="v0.33.0", digest=DIGEST)
    write_image(folder, "vllm-openai@0.33.0", newer)
    added = add(folder, "1.3.0", "engine.version=0.33.0", base="1.2.0")
    assert added.release.image_name == "vllm-openai@0.33.0"
    assert added.notes == ("image follows the engine's version: vllm-openai@0.32.0 is vllm-openai@0.33.0 now",)
