"""What a cloud's ``data/types.yaml`` says of a resource type, and the little language that it is written in.

Keys of an entry:

- ``id``, ``computed``: templates. ``{region}`` stands for an input or output of that name; ``{cluster:last}`` for the
  last part of a path; ``{id}`` for the id itself.
- ``name``: how names are drawn and checked: ``property`` (default ``name``), ``limit``, ``pattern``.
- ``cidr``, ``cidr_or_size``: properties of that form, as patterns (``rules[*].range``).
- ``values``: pattern -> ``allowed`` and ``source``.
- ``defaults``: outputs where nothing was given.
- ``replaces``, ``replaces_when_disabled``, ``unordered``: patterns, see the data file.
- ``unknown``: inputs, by path, that the cloud fills in where they are not given.
- ``needs``: pattern -> type that the value must name; ``used_by``: what keeps a resource from being deleted.
- ``shared``: several resources of a program may stand for one and the same thing (an IAM membership).
- ``stays``: the cloud never deletes it; a resource with the same name cannot be made again.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_serving.errors import Problem, nearest_or_few
from local.providers.differences import Difference, as_pattern, compare
from local.providers.properties import UNKNOWN, Secret, child
from local.providers.schema import ResourceType

Form = Callable[[str], str]
"""What ``{name:form}`` in a template makes of a value."""


@dataclass(frozen=True)
class User:
    """A type whose resources keep another one from being deleted: where they name it."""

    type: str
    property: str
    unless: str = ""


@dataclass(frozen=True)
class CloudType:
    """One resource type."""

    token: str
    id: str
    name: Mapping[str, Any] = field(default_factory=dict)
    cidr: tuple[str, ...] = ()
    cidr_or_size: tuple[str, ...] = ()
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    computed: Mapping[str, Any] = field(default_factory=dict)
    replaces: frozenset[str] = frozenset()
    replaces_when_disabled: tuple[str, ...] = ()
    unordered: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    used_by: tuple[User, ...] = ()
    shared: bool = False
    stays: bool = False

    @property
    def name_property(self) -> str:
        """The input that holds the name."""
        return str(self.name.get("property", "name"))

    @property
    def name_limit(self) -> int:
        """The longest name."""
        return int(self.name.get("limit", 63))

    def forms(self) -> Iterator[tuple[str, str]]:
        """Pattern -> regular expression that its values match."""
        if self.name.get("pattern"):
            yield self.name_property, str(self.name["pattern"])

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Check what the SDK's types cannot know: forms and values."""
        problems: list[Problem] = []
        for pattern, form in self.forms():
            for path, value in find(inputs, pattern):
                if isinstance(value, str) and not re.match(form, value):
                    problems.append(Problem(path, value, f"does not have the form {form}"))
        for pattern in self.cidr:
            for path, value in find(inputs, pattern):
                if isinstance(value, str) and not self._is_range(pattern, value):
                    problems.append(Problem(path, value, "not an address range", _corrected(value)))
        for pattern, rule in self.values.items():
            allowed = [str(item) for item in rule["allowed"]]
            for path, value in find(inputs, pattern):
                for place, item in _members(path, value):
                    if isinstance(item, str) and item not in allowed:
                        problems.append(
                            Problem(place, item, "not one of the values that are known", nearest_or_few(item, allowed))
                        )
        return problems

    def _is_range(self, pattern: str, value: str) -> bool:
        if pattern in self.cidr_or_size and (value == "" or re.fullmatch(r"/\d{1,2}", value)):
            return True
        try:
            ipaddress.ip_network(value, strict=True)
        except ValueError:
            return False
        return "/" in value

    def compare(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
        """What changed, and what of it replaces the resource."""
        difference = compare(
            old, new, replaces=lambda path: path in self.replaces, unordered=lambda path: path in self.unordered
        )
        switched_off = {
            path
            for path in difference.changes
            if as_pattern(path) in self.replaces_when_disabled and old.get(path) is True and new.get(path) is not True
        }
        named = self.name_property
        # As Pulumi's bridge does: a name that was drawn changes with the resource, a given one collides.
        drawn = named in (new.get("__defaults") or ())
        same_name = old.get(named) == new.get(named) and old.get(named) is not None
        return Difference(difference.changes, difference.replacing | switched_off, same_name and not drawn)

    def expected(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """``inputs`` with what the cloud fills in: as it is in ``outputs``, or unknown."""
        result = dict(inputs)
        for path in self.unknown:
            _fill_in(result, outputs, path.split("."))
        return result

    def fill(self, template: str, known: Mapping[str, Any]) -> str:
        """Fill a template of this type.

        Raises:
            LookupError: a value that it needs is not there.
        """
        return fill(template, known)

    def identify(self, known: Mapping[str, Any]) -> str:
        """The id of a resource with these properties."""
        return self.fill(self.id, known)

    def outputs(self, schema: ResourceType, known: Mapping[str, Any], id: str) -> dict[str, Any]:
        """Outputs that follow from the type alone."""
        values: dict[str, Any] = {key: value for key, value in self.defaults.items() if known.get(key) is None}
        scope = {**values, **known, "id": id}
        for key, template in self.computed.items():
            values[key] = scope[key] = self.fill(template, scope) if isinstance(template, str) else template
        return values


def fields_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :class:`CloudType` that an entry of a data file gives."""
    return {
        "id": entry["id"],
        "name": entry.get("name", {}),
        "cidr": tuple(entry.get("cidr", ())),
        "cidr_or_size": tuple(entry.get("cidr_or_size", ())),
        "values": entry.get("values", {}),
        "defaults": entry.get("defaults", {}),
        "computed": entry.get("computed", {}),
        "replaces": frozenset(entry.get("replaces", ())),
        "replaces_when_disabled": tuple(entry.get("replaces_when_disabled", ())),
        "unordered": frozenset(entry.get("unordered", ())),
        "unknown": tuple(entry.get("unknown", ())),
        "needs": entry.get("needs", {}),
        "used_by": tuple(User(**user) for user in entry.get("used_by", ())),
        "shared": entry.get("shared", False),
        "stays": entry.get("stays", False),
    }


def fill(template: str, known: Mapping[str, Any], forms: Mapping[str, Form] | None = None) -> str:
    """Fill a template; ``forms`` are those that one cloud has beside ``last``.

    Raises:
        LookupError: a value that it needs is not there.
    """
    usable = {"": str, "last": _last, **(forms or {})}

    def one(match: re.Match[str]) -> str:
        name, _, form = match.group(1).partition(":")
        value = plain(known.get(name))
        if value is None:
            raise LookupError(name)
        return usable[form](str(value))

    return re.sub(r"\{([A-Za-z:]+)\}", one, template)


def _last(value: str) -> str:
    return value.rpartition("/")[2]


def _fill_in(target: dict[str, Any], source: Mapping[str, Any], path: Sequence[str]) -> None:
    key, rest = path[0], path[1:]
    value = source.get(key)
    value = value.value if isinstance(value, Secret) else value
    if target.get(key) is None:
        target[key] = UNKNOWN if value is None else value
    elif rest and isinstance(target[key], Mapping):
        target[key] = dict(target[key])
        _fill_in(target[key], value if isinstance(value, Mapping) else {}, rest)


def plain(value: Any) -> Any:
    """A value without its secret wrapper; ``None`` where it is unknown."""
    inner = value.value if isinstance(value, Secret) else value
    return None if inner is UNKNOWN else inner


def find(inputs: Any, pattern: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a pattern such as ``rules[*].range``, with its path."""
    value = inputs.value if isinstance(inputs, Secret) else inputs
    if not pattern:
        if value is not None and value is not UNKNOWN:
            yield path, value
        return
    if pattern.startswith("[*]"):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from find(item, pattern[3:].removeprefix("."), child(path, index))
        return
    step = re.match(r"[^.\[]+", pattern)
    if step and isinstance(value, Mapping) and step.group() in value:
        rest = pattern[step.end() :].removeprefix(".")
        yield from find(value[step.group()], rest, child(path, step.group()))


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield child(path, index), item
    else:
        yield path, value


def long_number(text: str) -> int:
    """A number with 16 digits that depends on ``text`` alone: the most that a double holds exactly."""
    digest = hashlib.sha256(text.encode()).digest()
    return 10**15 + int.from_bytes(digest[:8], "big") % (8 * 10**15)


def _corrected(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return ""
