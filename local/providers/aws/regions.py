"""Where AWS is: regions and their zones."""

import hashlib
from collections.abc import Mapping
from functools import cache

import yaml

from local.providers.aws.types import DATA


@cache
def _regions() -> Mapping[str, Mapping[str, str]]:
    return yaml.safe_load((DATA / "regions.yaml").read_text(encoding="utf-8"))


def regions() -> list[str]:
    """All regions."""
    return list(_regions())


def zones(region: str) -> list[str]:
    """The zones of a region; empty where there is no such region."""
    return [f"{region}{letter}" for letter in _regions().get(region, {})]


def zone_ids(region: str) -> list[str]:
    """Ids of the zones, in the order of :func:`zones`."""
    return list(_regions().get(region, {}).values())


def prefix_list_id(service: str) -> str:
    """Id of the list of a service's addresses in a region: the same for every account."""
    return f"pl-{hashlib.sha256(service.encode()).hexdigest()[:8]}"
