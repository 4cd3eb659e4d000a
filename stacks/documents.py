"""Strict reading of YAML files (a key given twice is refused, because the second would silently win), and writing of
YAML."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import yaml

from llm_serving.errors import Problem, ProblemsError


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a mapping with one key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = cast(Hashable, cast(Any, self).construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice in one mapping", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, shown_as: str = "") -> Any:
    """The YAML document in ``path``.

    Raises:
        ProblemsError: the file is missing, is not YAML, or has a key twice.
    """
    source = shown_as or path.name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        others = sorted(other.name for other in path.parent.glob(f"*{path.suffix}"))
        raise ProblemsError([Problem("", None, "no such file", ", ".join(others))], source) from None
    return parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> Any:
    """The YAML document in ``text``; ``source`` names it in messages.

    Raises:
        ProblemsError: it is not YAML, or has a key twice.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise ProblemsError([Problem("", None, f"not valid YAML: {_one_line(error)}")], source) from None


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
    return " ".join(str(error).split())
