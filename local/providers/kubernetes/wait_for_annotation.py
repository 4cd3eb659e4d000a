"""The annotation ``pulumi.com/waitFor``: a user's own idea of ready.

``condition=Ready`` or ``condition=Ready=Unknown``, ``jsonpath={.status.phase}=Running`` or
``jsonpath={.status.url}`` (any value), or a JSON array of these, all of which must hold. Paths are member
names (``a\\.b`` where one has a dot), ``['quoted names']``, ``[numbers]``, ``[*]`` and
``[?(@.type=="Ready")]``. Where a path leads to several values, each has to be as asked. Source:
https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/ (annotations).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.providers.kubernetes.readiness import DONE, Progress, condition

_NAME = r"[A-Za-z_](?:[\w/-]|\\.)*"
_STEP = re.compile(
    rf"\.({_NAME})|\['([^']+)'\]|\[(\d+)\]|(\[\*\]|\.\*)|\[\?\(@\.({_NAME})\s*==\s*['\"]([^'\"]*)['\"]\)\]"
)


@dataclass(frozen=True)
class _Step:
    """One step of a path: a member by its name, an item by its index, all of them, or those whose member is as said."""

    name: str = ""
    index: int = -1
    equals: str | None = None

    def of(self, value: Any) -> list[Any]:
        if self.index >= 0:
            return value[self.index : self.index + 1] if isinstance(value, list) else []
        if self.name and self.equals is None:
            return [value[self.name]] if isinstance(value, Mapping) and self.name in value else []
        items = value if isinstance(value, list) else list(value.values()) if isinstance(value, Mapping) else []
        if self.equals is None:
            return items
        return [i for i in items if isinstance(i, Mapping) and _shown(i.get(self.name)) == self.equals]


@dataclass(frozen=True)
class _Rule:
    text: str
    path: tuple[_Step, ...] | None
    name: str
    value: str | None

    def judge(self, thing: Mapping[str, Any]) -> Progress:
        if self.path is None:
            status, wanted = str(condition(thing, self.name).get("status", "missing")), self.value or "True"
            if status.lower() == wanted.lower():
                return DONE
            return Progress(waiting=f"condition {self.name} is {status}, not {wanted}")
        values: list[Any] = [thing]
        for step in self.path:
            values = [member for value in values for member in step.of(value)]
        others = [_shown(value) for value in values if self.value is not None and _shown(value) != self.value]
        if values and not others:
            return DONE
        wanted = f", not {self.value}" if self.value is not None else ""
        return Progress(waiting=f"{self.name} is {others[0] if others else 'missing'}{wanted}")


def parse(text: str) -> list[_Rule]:
    """The rules of an annotation.

    Raises:
        ValueError: not one of the forms above.
    """
    written: Any = json.loads(text) if text.lstrip().startswith("[") else [text]
    return [_rule(str(item)) for item in written]


def judge(rules: list[_Rule], thing: Mapping[str, Any]) -> Progress:
    """Every rule holds, or what the first that does not is waiting for."""
    return next((p for p in (rule.judge(thing) for rule in rules) if not p.done), DONE)


def _rule(text: str) -> _Rule:
    if match := re.fullmatch(r"condition=(\w[\w.\-/]*)(?:=(\w+))?", text):
        return _Rule(text, None, match[1], match[2])
    if match := re.fullmatch(r"jsonpath=\{?\$?((?:\.[^=\[{}]+|\[[^\]]+\])+)\}?(?:=(.*))?", text):
        return _Rule(text, _path(match[1]), match[1], match[2])
    raise ValueError(f"{text!r} is neither condition=<Type>[=<Status>] nor jsonpath={{<path>}}[=<value>]")


def _path(text: str) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is a JSONPath that is not understood from {text[position:]!r} on")
        name, quoted, index, every, member, value = match.groups()
        if index is not None:
            steps.append(_Step(index=int(index)))
        elif every is not None:
            steps.append(_Step())
        else:
            steps.append(_Step(quoted or (name or member).replace("\\.", "."), equals=value))
        position = match.end()
    return tuple(steps)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
