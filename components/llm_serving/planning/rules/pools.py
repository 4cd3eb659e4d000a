"""GPU pools: the GPU exists, the machines have it, and the cloud sells the capacity in the requested zones."""

from collections.abc import Iterator, Sequence

from llm_serving import catalog
from llm_serving.catalog import LocalSsd, MachineType, UnknownFact
from llm_serving.errors import MOST_CANDIDATES, Problem, Suggestion, nearest
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.zones import check_zone_names, zones_of_region
from llm_serving.spec import RESERVED_MARKETS, CapacityEntry, Market, Pool


def check_pools(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``pools``."""
    for index, pool in enumerate(stack.pools):
        path = f"pools[{index}]"
        yield from _accelerator(path, stack.cloud, pool)
        yield from _machines(path, stack.cloud, pool)
        yield from _local_ssd(path, stack.cloud, pool)
        yield from _duplicates(path, pool)
        for number, entry in enumerate(pool.capacity):
            yield from _entry(f"{path}.capacity[{number}]", stack, entry)


def _accelerator(path: str, cloud: Cloud, pool: Pool) -> Iterator[Problem]:
    try:
        gpu = catalog.accelerator(pool.accelerator)
    except UnknownFact as unknown:
        near = nearest(pool.accelerator, _sold(cloud)) if pool.capacity else unknown.nearest
        yield Problem(f"{path}.accelerator", pool.accelerator, "not a GPU that the catalog knows", near)
        return
    if pool.capacity and cloud.name not in gpu.sold_by:
        available = [other for other in catalog.accelerators() if cloud.name in other.sold_by]
        enough = [other.name for other in available if (other.memory_gb or 0) >= (gpu.memory_gb or 0)]
        yield Problem(
            f"{path}.accelerator",
            pool.accelerator,
            f"{cloud.name} has no machine type with this GPU",
            Suggestion(values=enough[:1] or [other.name for other in available][-1:]),
        )


def _sold(cloud: Cloud) -> list[str]:
    return [gpu.name for gpu in catalog.accelerators() if cloud.name in gpu.sold_by]


def _machines(path: str, cloud: Cloud, pool: Pool) -> Iterator[Problem]:
    first: MachineType | None = None
    for number, entry in enumerate(pool.capacity):
        place = f"{path}.capacity[{number}].machineType"
        try:
            machine = catalog.machine_type(cloud.name, entry.machine_type)
        except UnknownFact as unknown:
            reason = f"not a machine type that is known on {cloud.name}"
            with_gpu = _with_gpu(cloud, pool.accelerator)
            suggestion = nearest(entry.machine_type, with_gpu) or _some(with_gpu) if with_gpu else unknown.nearest
            yield Problem(place, entry.machine_type, reason, suggestion)
            continue
        if not _is_known(pool.accelerator):
            continue  # refused as such
        if machine.accelerator != pool.accelerator:
            has = f"has {machine.accelerator}" if machine.accelerator else "has no GPU"
            reason = f"{has}, the pool's GPU is {pool.accelerator}"
            yield Problem(place, entry.machine_type, reason, _some(_with_gpu(cloud, pool.accelerator)))
        elif first is not None and machine.gpus != first.gpus:
            reason = f"has {machine.gpus} GPUs and {first.name} has {first.gpus}; nodes of a pool have the same number"
            yield Problem(place, entry.machine_type, reason, _some(_with_gpu(cloud, pool.accelerator, first.gpus)))
        else:
            first = first or machine


def _is_known(accelerator: str) -> bool:
    return any(gpu.name == accelerator for gpu in catalog.accelerators())


def _some(machines: list[str]) -> Suggestion:
    return Suggestion(values=machines[:MOST_CANDIDATES])


def _with_gpu(cloud: Cloud, accelerator: str, gpus: int | None = None) -> list[str]:
    return [
        machine.name
        for machine in catalog.machine_types(cloud.name)
        if machine.accelerator == accelerator and gpus in (None, machine.gpus)
    ]


def _local_ssd(path: str, cloud: Cloud, pool: Pool) -> Iterator[Problem]:
    if not pool.local_ssd:
        return
    for entry in pool.capacity:
        machine = cloud.machine(entry)
        if machine is not None and machine.local_ssd is LocalSsd.NONE:
            yield Problem(f"{path}.localSsd", True, f"{machine.name} has no local SSD", Suggestion(values=[False]))


def _duplicates(path: str, pool: Pool) -> Iterator[Problem]:
    seen: dict[tuple[object, ...], int] = {}
    for number, entry in enumerate(pool.capacity):
        key = (entry.market, entry.machine_type, frozenset(entry.zones), entry.reservation)
        if key in seen:
            yield Problem(
                f"{path}.capacity[{number}]",
                entry.machine_type,
                f"the same capacity as capacity[{seen[key]}]: market, machine type and zones are equal",
                _together(path, pool, seen[key], number),
            )
        else:
            seen[key] = number


def _together(path: str, pool: Pool, first: int, second: int) -> Suggestion:
    most = pool.capacity[first].max + pool.capacity[second].max
    return Suggestion(f"raise max of capacity[{first}]", edits=[{"": None, f"/{path}.capacity[{first}].max": most}])


def _entry(path: str, stack: StackShape, entry: CapacityEntry) -> Iterator[Problem]:
    if entry.min > entry.max:
        yield Problem(f"{path}.min", entry.min, f"more than the maximum of {entry.max}", Suggestion(values=[entry.max]))
    yield from _market(f"{path}.market", stack.cloud, entry)
    if entry.market is Market.FLEX_START and entry.min:
        yield Problem(
            f"{path}.min", entry.min, "flex-start nodes end after 7 days: none can be kept", Suggestion(values=[0])
        )
    if entry.market in RESERVED_MARKETS and not entry.reservation:
        reason = f"market {entry.market} needs the name of the reservation to consume"
        others = sorted(market.value for market in stack.cloud.markets if market not in RESERVED_MARKETS)
        hint = f"{stack.cloud.reservation_form or 'its name'}, or another market"
        instead = Suggestion(hint, edits=[{"market": other} for other in others])
        yield Problem(f"{path}.reservation", None, reason, instead)
    if entry.market not in RESERVED_MARKETS and entry.reservation:
        yield Problem(
            f"{path}.reservation",
            entry.reservation,
            f"capacity of market {entry.market} does not come from a reservation",
            Suggestion(
                removal=True, edits=[{"market": each.value} for each in RESERVED_MARKETS if each in stack.cloud.markets]
            ),
        )
    zone_problems = tuple(check_zone_names(f"{path}.zones", stack.cloud, stack.region, entry.zones, stack.zones))
    yield from zone_problems
    if not zone_problems:
        yield from _offered(path, stack, entry)


def _market(path: str, cloud: Cloud, entry: CapacityEntry) -> Iterator[Problem]:
    """The cloud sells on these terms, and this machine too. What is reserved is on-demand capacity."""
    if entry.market not in cloud.markets:
        similar = cloud.similar_markets.get(entry.market)
        values = [market.value for market in sorted(cloud.markets, key=lambda other: (other is not similar, other))]
        yield Problem(path, entry.market.value, f"{cloud.name} does not sell on these terms", Suggestion(values=values))
        return
    machine = cloud.machine(entry)
    market = Market.ON_DEMAND if entry.market is Market.RESERVATION else entry.market
    if machine is not None and machine.markets and market not in machine.markets:
        others = [
            other.name
            for other in catalog.machine_types(cloud.name)
            if other.accelerator == machine.accelerator and market in other.markets
        ]
        reason = f"{machine.name} is not sold on these terms"
        hint = f"; or machineType {others[0]}" if others else ""
        values = sorted(market.value for market in machine.markets)
        yield Problem(path, entry.market.value, reason, Suggestion(f"{', '.join(values)}{hint}", values=values))


def _offered(path: str, stack: StackShape, entry: CapacityEntry) -> Iterator[Problem]:
    """The machine exists in the zones: in each one that the entry names, or in one of the cluster's."""
    cluster_zones = [zone for zone in stack.zones if stack.cloud.in_region(stack.region, zone)]
    for index, zone in enumerate(entry.zones):
        if cluster_zones and zone not in cluster_zones:
            reason = f"not one of the cluster's zones ({', '.join(cluster_zones)})"
            yield Problem(f"{path}.zones[{index}]", zone, reason, _with_zones(stack, [zone]))
    machine = stack.cloud.machine(entry)
    if machine is not None and machine.regions and stack.region in catalog.regions_with_offers(stack.cloud.name):
        yield from _offered_in_region(path, stack, machine)
    if machine is None or not machine.zones:
        return
    offered = zones_of_region(machine, stack.cloud, stack.region)
    if not offered:
        elsewhere = sorted({stack.cloud.region_of(zone) for zone in machine.zones})
        reason = f"not offered in {stack.region}; it is in {', '.join(elsewhere)}"
        alternatives = [
            other.name
            for other in catalog.machine_types(stack.cloud.name)
            if (other.accelerator, other.gpus) == (machine.accelerator, machine.gpus)
            and zones_of_region(other, stack.cloud, stack.region)
        ]
        yield Problem(f"{path}.machineType", entry.machine_type, reason, _some(alternatives))
        return
    for index, zone in enumerate(entry.zones):
        if zone not in offered:
            reason = f"{machine.name} is not offered there"
            yield Problem(f"{path}.zones[{index}]", zone, reason, Suggestion(values=offered[:MOST_CANDIDATES]))
    if not entry.zones and cluster_zones and not set(cluster_zones) & set(offered):
        yield Problem(
            f"{path}.machineType",
            entry.machine_type,
            f"not offered in any of the cluster's zones ({', '.join(cluster_zones)})",
            _with_zones(stack, offered),
        )


def _offered_in_region(path: str, stack: StackShape, machine: MachineType) -> Iterator[Problem]:
    if stack.region in machine.regions:
        return
    alternatives = [
        other.name
        for other in catalog.machine_types(stack.cloud.name)
        if (other.accelerator, other.gpus) == (machine.accelerator, machine.gpus) and stack.region in other.regions
    ]
    reason = f"not offered in {stack.region}; it is in {', '.join(machine.regions)}"
    yield Problem(f"{path}.machineType", machine.name, reason, _some(alternatives))


def _with_zones(stack: StackShape, zones: Sequence[str]) -> Suggestion:
    """Each of the zones beside those that the cluster has."""
    edits = [{"/cluster.zones": [*stack.zones, zone]} for zone in zones]
    return Suggestion(f"{' or '.join(zones)} in cluster.zones", edits=edits[:MOST_CANDIDATES])
