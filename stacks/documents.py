"""Strict reading of YAML files: a key given twice is refused, because the second would silently win."""

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
        there = sorted(p.name for p in path.parent.glob(f"*{path.suffix}"))
        raise ProblemsError([Problem("", None, "no such file", ", ".join(there))], source) from None
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise ProblemsError([Problem("", None, f"not valid YAML: {_one_line(error)}")], source) from None


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
