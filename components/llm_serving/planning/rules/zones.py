"""Zones: which belong to a region, and where a machine type is offered."""

from collections.abc import Iterator, Sequence

from llm_serving.catalog import MachineType
from llm_serving.errors import Problem
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import CapacityEntry


def check_zones(stack: StackShape) -> Iterator[Problem]:
    """The cluster's zones are in the stack's region."""
    yield from check_zone_names("cluster.zones", stack.cloud, stack.region, stack.zones)


def check_zone_names(path: str, cloud: Cloud, region: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Zones outside the region, and zones named twice."""
    for index, zone in enumerate(zones):
        if not cloud.in_region(region, zone):
            example = f"{region}{cloud.zone_separator}a"
            yield Problem(f"{path}[{index}]", zone, f"not a zone of the stack's region {region}", example)
        elif zone in zones[:index]:
            yield Problem(f"{path}[{index}]", zone, "named twice", "leave it out")


def zones_of_region(machine: MachineType, cloud: Cloud, region: str) -> tuple[str, ...]:
    """Zones of the region that are known to offer the machine; empty also where nothing is known."""
    return tuple(zone for zone in machine.zones if cloud.in_region(region, zone))


def zones_of_entry(entry: CapacityEntry, machine: MachineType, cluster_zones: Sequence[str]) -> tuple[str, ...]:
    """Zones in which nodes of an entry may start: those that it names, or the cluster's that have the machine."""
    return entry.zones or tuple(zone for zone in cluster_zones if not machine.zones or zone in machine.zones)
