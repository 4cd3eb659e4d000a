"""The rows of this folder: see README.md."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from llm_serving.errors import ProblemsError
from stacks.settings import NAMESPACE, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, take_out

FOLDER = Path(__file__).parent
_ROW = {"stack", "set", "unset", "text", "path", "kind", "hides"}


@dataclass(frozen=True)
class Row:
    """One change of a committed stack.

    Attributes:
        stack: name of the stack.
        changes: values by property path.
        removed: property paths that are taken out.
        text: pieces of the file by what they are replaced with.
        path: property path of the message; ``None`` where the row is right.
        reason: a regular expression that the message's reason has.
        hides: what no message repeats; an empty string for nothing.
        line: where the row stands, for failures.
    """

    stack: str
    changes: Mapping[str, Any]
    removed: tuple[str, ...]
    text: Mapping[str, str]
    path: str | None
    reason: str
    hides: str
    line: str

    @cached_property
    def content(self) -> bytes:
        """The changed file."""
        return self._file().encode().replace(b"\\xE9", b"\xe9")

    def _file(self) -> str:
        text = _committed(self.stack)
        if self.changes or self.removed:
            data = settings_data(self.stack)
            for path, value in self.changes.items():
                put(data, path, copy.deepcopy(value))  # rows share what stands in the file once
            for path in self.removed:
                take_out(data, path)
            config = {f"{NAMESPACE}:{key}": value for key, value in data.items()}
            text = yaml.dump({"config": config}, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        for old, new in self.text.items():
            assert text.count(old) == 1, f"{self.line}: {old!r} stands in {self.stack} {text.count(old)} times"
            text = text.replace(old, new)
        return text


@cache
def _committed(stack: str) -> str:
    return (REPOSITORY / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")


def subjects() -> list[str]:
    """Names of the files with rows."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def rows(subject: str) -> tuple[list[Row], list[Row]]:
    """The wrong and the right rows of a file."""
    text = (FOLDER / f"{subject}.yaml").read_text(encoding="utf-8")
    document = yaml.load(text, Loader=yaml.CSafeLoader)
    assert document.keys() <= {"kinds", "base", "wrong", "right"}, f"{subject}: {sorted(document)}"
    kinds: dict[str, str] = document.get("kinds", {})
    wrong = [_row(subject, index, row, kinds) for index, row in enumerate(document.get("wrong", []))]
    right = [_row(subject, index, row, None) for index, row in enumerate(document.get("right", []))]
    return wrong, right


def _row(subject: str, index: int, row: dict[str, Any], kinds: Mapping[str, str] | None) -> Row:
    line = f"{subject} {'right' if kinds is None else 'wrong'}[{index}] {row}"
    assert row.keys() <= _ROW, line
    changes: dict[str, Any] = row.get("set", {})
    path = row.get("path")
    if kinds is not None and path is None:
        (path,) = changes
    return Row(
        stack=row.get("stack", "dev"),
        changes=changes,
        removed=tuple(row.get("unset", ())),
        text=row.get("text", {}),
        path=path,
        reason=kinds[row["kind"]] if kinds is not None else "",
        hides=row.get("hides", ""),
        line=line,
    )


def refusal(row: Row) -> ProblemsError | None:
    """What the row is refused with; ``None`` where it is accepted. Asked for often, and found out once."""
    return _refusal(row.stack, row.content)


@cache
def _refusal(stack: str, content: bytes) -> ProblemsError | None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"Pulumi.{stack}.yaml"
        path.write_bytes(content)
        try:
            resolve(read_settings_file(path), path.name)
        except ProblemsError as error:
            return error
    return None
