"""Strict reading of YAML files (a key given twice is refused, because the second would silently win), and writing of
YAML."""

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion

Check = Callable[[yaml.Node], Iterable[Problem]]
"""What is refused of a document before values are made of it."""

MERGE_TAG = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a mapping with one key twice. PyYAML's own parser, although libyaml's is faster: that
    one ends the whole process where a file opens 100,000 brackets, and this one raises."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            is_merge = key_node.tag == MERGE_TAG
            key: Any = "<<" if is_merge else cast(Any, self).construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is no single value", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice in one mapping", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, shown_as: str = "", check: Check | None = None) -> Any:
    """The YAML document in ``path``.

    Raises:
        ProblemsError: the file is missing, is not YAML in UTF-8, has a key twice, or is refused by ``check``.
    """
    source = shown_as or path.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        others = sorted(other.name for other in path.parent.glob(f"*{path.suffix}"))
        raise ProblemsError([Problem("", None, "no such file", ", ".join(others))], source) from None
    return parse_bytes(data, source, check)


def parse_bytes(data: bytes, source: str, check: Check | None = None) -> Any:
    """The YAML document of a file that was read.

    Raises:
        ProblemsError: it is not YAML in UTF-8, has a key twice, or is refused by ``check``.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"not valid YAML: the byte 0x{data[error.start]:02X} in line {line} is not UTF-8"
        raise ProblemsError(
            [Problem("", None, reason, Suggestion("save the file as UTF-8", needs=Needs.TEXT))], source
        ) from None
    return parse_yaml(text, source, check)


def parse_yaml(text: str, source: str, check: Check | None = None) -> Any:
    """The YAML document in ``text``; ``source`` names it in messages.

    Raises:
        ProblemsError: it is not YAML, has a key twice, or is refused by ``check``.
    """
    try:
        loader = _StrictLoader(text)
        node = cast("yaml.Node | None", cast(Any, loader).get_single_node())
        if node is None:
            return None
        problems = [*check(node)] if check is not None else []
        if not problems:
            return cast(Any, loader).construct_document(node)
    except yaml.YAMLError as error:
        raise ProblemsError([Problem("", None, f"not valid YAML: {_one_line(error)}")], source) from None
    except ValueError as error:  # a date or a number that Python cannot hold
        raise ProblemsError([Problem("", None, f"not valid YAML: {error}")], source) from None
    except RecursionError:
        raise ProblemsError([Problem("", None, "not valid YAML: nested too deeply")], source) from None
    raise ProblemsError(problems, source)


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes texts of several lines as such: a chat template is read in review."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return cast(Any, dumper).represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump_yaml(data: Any) -> str:
    """``data`` as YAML, in its own order, one key a line."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _one_line(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself: a secret may stand there."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    parts = [error.context, error.problem]
    mark = error.problem_mark or error.context_mark
    if mark is not None:
        parts.append(f"line {mark.line + 1}, column {mark.column + 1}")
    return ", ".join(part for part in parts if part)
