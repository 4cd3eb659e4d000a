"""Zones: which belong to a region, and where a machine type is offered."""

from collections.abc import Iterator, Sequence

from llm_serving import catalog
from llm_serving.catalog import MachineType
from llm_serving.errors import LEAVE_OUT, MOST_CANDIDATES, Problem, Suggestion
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import CapacityEntry


def check_zones(stack: StackShape) -> Iterator[Problem]:
    """The cluster's zones are in the stack's region."""
    yield from check_zone_names("cluster.zones", stack.cloud, stack.region, stack.zones)


def check_zone_names(
    path: str, cloud: Cloud, region: str, zones: Sequence[str], cluster_zones: Sequence[str] = ()
) -> Iterator[Problem]:
    """Zones outside the region, and zones named twice. Where the cluster's are given, only those are suggested."""
    for index, zone in enumerate(zones):
        if not cloud.in_region(region, zone):
            reason = f"not a zone of the stack's region {region}"
            inside = [each for each in cluster_zones if cloud.in_region(region, each)]
            known = inside or _known_zones(cloud, region) or [f"{region}{cloud.zone_separator}a"]
            free = [other for other in known if other not in zones]
            yield Problem(f"{path}[{index}]", zone, reason, Suggestion(values=free[:MOST_CANDIDATES]))
        elif zone in zones[:index]:
            yield Problem(f"{path}[{index}]", zone, "named twice", LEAVE_OUT)


def _known_zones(cloud: Cloud, region: str) -> list[str]:
    """Zones of the region in which the cloud offers a machine of the catalog; regions leave letters out."""
    machines = catalog.machine_types(cloud.name)
    return sorted({zone for machine in machines for zone in machine.zones if cloud.in_region(region, zone)})


def zones_of_region(machine: MachineType, cloud: Cloud, region: str) -> tuple[str, ...]:
    """Zones of the region that are known to offer the machine; empty also where nothing is known."""
    return tuple(zone for zone in machine.zones if cloud.in_region(region, zone))


def zones_of_entry(entry: CapacityEntry, machine: MachineType, cluster_zones: Sequence[str]) -> tuple[str, ...]:
    """Zones in which nodes of an entry may start: those that it names, or the cluster's that have the machine."""
    return entry.zones or tuple(zone for zone in cluster_zones if not machine.zones or zone in machine.zones)
