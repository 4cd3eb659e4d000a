"""Where Google Cloud is: regions and their zones."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"


@cache
def data(file: str) -> dict[str, Any]:
    """A file of ``data/``, read once."""
    return yaml.safe_load((DATA / file).read_text(encoding="utf-8"))


def bucket_locations() -> list[str]:
    """Where a bucket can be: https://cloud.google.com/storage/docs/locations."""
    regions_file = data("regions.yaml")
    return [*regions(), *regions_file["multi_regions"], *regions_file["dual_regions"]]


def regions() -> list[str]:
    """All regions."""
    return list(data("regions.yaml")["regions"])


def zones(region: str) -> list[str]:
    """The zones of a region; empty where there is no such region."""
    if region not in regions():
        return []
    letters = data("regions.yaml")["letters"].get(region, ["a", "b", "c"])
    return [f"{region}-{letter}" for letter in letters]


def region_of(location: str) -> str:
    """The region of a zone, or the region itself."""
    return location.rsplit("-", 1)[0] if is_zone(location) else location


def is_zone(location: str) -> bool:
    """Whether a location is a zone; by its form, for zones come and go."""
    head, _, letter = location.rpartition("-")
    return len(letter) == 1 and letter.isalpha() and head.count("-") == 1


def exists(location: str) -> bool:
    """Whether there is such a region or zone."""
    return location in regions() or location in zones(region_of(location))
