"""Zones: how their names belong to a region, and where a machine type is offered."""

from collections.abc import Iterator, Sequence

from llm_serving.catalog import MachineType
from llm_serving.errors import Problem

_SEPARATOR = {"gcp": "-", "aws": ""}
"""What stands between the region and the zone's letter: ``us-central1-a`` on GCP, ``us-east-1a`` on AWS."""


def in_region(cloud: str, region: str, zone: str) -> bool:
    """Whether a zone's name is one of the region's."""
    start = f"{region}{_SEPARATOR.get(cloud, '')}"
    letter = zone.removeprefix(start)
    return zone.startswith(start) and len(letter) == 1 and letter.isalpha() and letter.islower()


def check_zone_names(path: str, cloud: str, region: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Zones outside the region, and zones named twice."""
    for index, zone in enumerate(zones):
        if not in_region(cloud, region, zone):
            example = f"{region}{_SEPARATOR.get(cloud, '')}a"
            yield Problem(f"{path}[{index}]", zone, f"not a zone of the stack's region {region}", example)
        elif zone in zones[:index]:
            yield Problem(f"{path}[{index}]", zone, "named twice", "leave it out")


def zones_of_region(machine: MachineType, cloud: str, region: str) -> tuple[str, ...]:
    """Zones of the region that are known to offer the machine; empty also where nothing is known."""
    return tuple(zone for zone in machine.zones if in_region(cloud, region, zone))
