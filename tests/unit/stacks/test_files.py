"""Files that several processes share."""

import ast
import multiprocessing
import sys
from pathlib import Path

import pytest

from stacks import files


def test_a_replaced_file_is_whole_and_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.json"
    files.write_json(path, {"a": 1})
    assert (files.read_json(path), path.stat().st_mode & 0o777) == ({"a": 1}, 0o600)
    files.write_atomically(path, "new", mode=0o644)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o644)
    assert [file.name for file in path.parent.iterdir()] == ["state.json"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    files.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(path, "\ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("state", "old")]


def _hold_lock(lock: str, answers: "multiprocessing.Queue[str]", release: "multiprocessing.Queue[None]") -> None:
    with files.file_locked(Path(lock)):
        answers.put("held")
        release.get()


def test_who_comes_second_is_told_and_may_give_up(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    spawn = multiprocessing.get_context("spawn")
    answers, release = spawn.Queue(), spawn.Queue()
    holder = spawn.Process(target=_hold_lock, args=(str(lock), answers, release))
    holder.start()
    try:
        answers.get()

        def give_up() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError), files.file_locked(lock, give_up):
            pass
        told: list[str] = []

        def wait() -> None:
            told.append("waiting")
            release.put(None)

        with files.file_locked(lock, wait):
            assert told == ["waiting"]
    finally:
        release.put(None)
        holder.join()
    with files.file_locked(lock, give_up):
        pass


def test_it_needs_nothing_but_the_standard_library() -> None:
    """``tools/bootstrap`` imports it before there is a virtual environment."""
    tree = ast.parse(Path(files.__file__).read_text())
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert modules <= sys.stdlib_module_names


def test_locks_and_atomic_writes_are_written_once() -> None:
    """Images are packages of their own that import nothing of the project; they have theirs."""
    root = Path(files.__file__).parents[1]
    for room in ("components", "stacks", "infra", "local", "tools", "bench"):
        for path in (root / room).rglob("*.py"):
            if path != Path(files.__file__):
                text = path.read_text()
                assert "fcntl" not in text, path
                assert "def write_atomically" not in text, path
