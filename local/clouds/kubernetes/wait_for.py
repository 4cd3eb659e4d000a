"""The annotation ``pulumi.com/waitFor``: a user's own idea of ready.

``condition=Ready`` or ``condition=Ready=Unknown``, ``jsonpath={.status.phase}=Running`` or
``jsonpath={.status.url}`` (any value), or a JSON array of these, all of which must hold. Paths are member
names, ``['quoted names']`` and ``[numbers]``. Source: https://www.pulumi.com/registry/packages/kubernetes/
(annotations).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.clouds.kubernetes.readiness import DONE, Progress, condition

_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']+)'\]|\[(\d+)\]")
_MISSING = object()


@dataclass(frozen=True)
class _Rule:
    text: str
    path: tuple[str | int, ...] | None
    name: str
    value: str | None

    def judge(self, thing: Mapping[str, Any]) -> Progress:
        if self.path is None:
            found = condition(thing, self.name)
            wanted = self.value or "True"
            if str(found.get("status", "")).lower() == wanted.lower():
                return DONE
            return Progress(waiting=f"condition {self.name} is {found.get('status', 'missing')}, not {wanted}")
        value: Any = thing
        for step in self.path:
            value = _step(value, step)
        if value is _MISSING or (self.value is not None and _shown(value) != self.value):
            shown = "missing" if value is _MISSING else _shown(value)
            return Progress(
                waiting=f"{self.name} is {shown}" + (f", not {self.value}" if self.value is not None else "")
            )
        return DONE


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
    if match := re.fullmatch(r"jsonpath=\{?\$?((?:\.[^={}]+|\[[^\]]+\])+)\}?(?:=(.*))?", text):
        return _Rule(text, _path(match[1]), match[1], match[2])
    raise ValueError(f"{text!r} is neither condition=<Type>[=<Status>] nor jsonpath={{<path>}}[=<value>]")


def _path(text: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is a JSONPath that is not understood from {text[position:]!r} on")
        steps.append(int(match[3]) if match[3] else match[1] or match[2])
        position = match.end()
    return tuple(steps)


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else _MISSING
    return value.get(step, _MISSING) if isinstance(value, Mapping) else _MISSING


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
