"""What ``data/types.yaml`` says of a resource type. The keys that every cloud has are in ``simulated/types.py``; these
are Google's:

- ``self_link``: template. ``{location:zoneOrLocation}`` stands for ``zones/...`` or ``locations/...``,
  ``{project:iamDomain}`` for a project in an e-mail address.
- ``rfc1035``, ``upper``: properties of that form, as patterns (``rules[*].range``).
- ``numbers``: outputs that are long numbers, as text or number.

A type without an entry gets :func:`generic`: an id in Google's usual form, and no knowledge of what replaces
it beyond its name and place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from local.providers.gcp import locations
from local.providers.schema import ResourceType
from local.providers.simulated.types import CloudType, fields_of, fill, long_number

RFC1035 = "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"
_API = re.compile(r"^(?:https?:)?//(?:www\.)?[a-z]+\.googleapis\.com/(?:[a-z]+/)?v\d\w*/")
_PLACE = ("name", "project", "region", "zone", "location")


@dataclass(frozen=True)
class GcpType(CloudType):
    """One resource type."""

    self_link: str = ""
    rfc1035: tuple[str, ...] = ()
    upper: tuple[str, ...] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)

    def forms(self) -> Iterator[tuple[str, str]]:
        """Names as RFC 1035 has them, beside what every cloud has."""
        yield from super().forms()
        yield from ((path, RFC1035) for path in self.rfc1035)

    def fill(self, template: str, known: Mapping[str, Any]) -> str:
        """With Google's forms."""
        return fill(template, known, _FORMS)

    def outputs(self, schema: ResourceType, known: Mapping[str, Any], id: str) -> dict[str, Any]:
        """Outputs that follow from the type alone."""
        values = super().outputs(schema, known, id)
        if self.self_link and "selfLink" in schema.outputs:
            values["selfLink"] = self.fill(self.self_link, {**values, **known, "id": id})
        for key, form in self.numbers.items():
            number = long_number(f"{id}/{key}")
            values[key] = str(number) if form == "text" else number
        return values


def _entries() -> dict[str, dict[str, Any]]:
    return locations.data("types.yaml")


def has_entry(token: str) -> bool:
    """Whether the data file describes a type."""
    return token in _entries()


def type_tokens() -> list[str]:
    """The types that the data file describes."""
    return list(_entries())


@cache
def described(token: str) -> GcpType:
    """A type that the data file describes."""
    entry = dict(_entries()[token])
    return GcpType(
        token=token,
        **fields_of(entry),
        self_link=entry.get("self_link", ""),
        rfc1035=tuple(entry.get("rfc1035", ())),
        upper=tuple(entry.get("upper", ())),
        numbers=entry.get("numbers", {}),
    )


def generic(schema: ResourceType) -> GcpType:
    """A type of which nothing is known but the SDK's types."""
    _, path, kind = schema.token.split(":")
    service = path.partition("/")[0]
    place = next((f"{key}s/{{{key}}}" for key in ("zone", "region", "location") if key in schema.inputs), "global")
    named = next((key for key in ("name", f"{kind[:1].lower()}{kind[1:]}Id") if key in schema.inputs), "")
    last = f"{{{named}}}" if named else "{digest}"
    return GcpType(
        token=schema.token,
        id=f"projects/{{project}}/{place}/{kind[:1].lower()}{kind[1:]}s/{last}",
        self_link=f"https://{service}.googleapis.com/v1/{{id}}",
        replaces=frozenset(key for key in (*_PLACE, named) if key in schema.inputs),
    )


def iam_domain(project: str) -> str:
    """What stands for a project in the addresses of its service accounts: ``name.example.com`` for a project
    ``example.com:name`` of a domain (IAM documentation, "Service account overview", formats of e-mail addresses)."""
    return ".".join(reversed(project.split(":")))


_FORMS = {
    "zoneOrLocation": lambda value: f"{'zones' if locations.is_zone(value) else 'locations'}/{value}",
    "iamDomain": iam_domain,
}


def relative(reference: str) -> str:
    """A reference without the API's address: ``projects/p/global/networks/n``."""
    return _API.sub("", reference)


def names(reference: str, id: str) -> bool:
    """Whether a reference (a self link, an id or a bare name) means the resource with this id."""
    path = relative(reference)
    return path == id or ("/" not in path and id.rpartition("/")[2] == path)
