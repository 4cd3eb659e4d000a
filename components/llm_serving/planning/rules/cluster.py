"""The cluster's own settings: zones, system pool, access to the control plane."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from llm_serving import catalog
from llm_serving.catalog import UnknownFact
from llm_serving.errors import Problem
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.zones import check_zone_names
from llm_serving.spec import ClusterSpec, ControlPlaneAccess

EVERYONE = IPv4Network("0.0.0.0/0")


def check_cluster(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``cluster``; nothing where the cluster is somebody else's."""
    if stack.cluster is None:
        return
    yield from check_zone_names("cluster.zones", stack.cloud, stack.region, stack.cluster.zones)
    yield from _system_pool(stack.cloud, stack.cluster)
    yield from _access(stack.cluster.access)
    yield from _exclusions(stack.cluster)


def _system_pool(cloud: str, cluster: ClusterSpec) -> Iterator[Problem]:
    pool = cluster.system_pool
    if pool.min > pool.max:
        yield Problem("cluster.systemPool.min", pool.min, f"more than the maximum of {pool.max}", str(pool.max))
    try:
        machine = catalog.machine_type(cloud, pool.machine_type)
    except UnknownFact as unknown:
        yield Problem(
            "cluster.systemPool.machineType",
            pool.machine_type,
            f"not a machine type that is known on {cloud}",
            unknown.nearest,
        )
        return
    if machine.accelerator is not None:
        plain = ", ".join(m.name for m in catalog.machine_types(cloud) if m.accelerator is None)
        yield Problem(
            "cluster.systemPool.machineType",
            pool.machine_type,
            f"has {machine.gpus} x {machine.accelerator}; system nodes need no GPU",
            plain,
        )


def _access(access: ControlPlaneAccess) -> Iterator[Problem]:
    ranges = [str(network) for network in access.authorized]
    if access.mode == "authorized" and not ranges:
        yield Problem(
            "cluster.access.authorized",
            None,
            "mode authorized lets in the ranges of this list only, and it is empty",
            "the ranges of your runners and administrators, or mode dns",
        )
    if access.mode == "dns" and ranges:
        yield Problem(
            "cluster.access.authorized",
            ", ".join(ranges),
            "mode dns asks for an identity and looks at no address, so these ranges would have no effect",
            "leave it out, or mode authorized",
        )


def _exclusions(cluster: ClusterSpec) -> Iterator[Problem]:
    names: set[str] = set()
    for index, exclusion in enumerate(cluster.maintenance.exclusions):
        path = f"cluster.maintenance.exclusions[{index}]"
        if exclusion.name in names:
            yield Problem(f"{path}.name", exclusion.name, "another exclusion has the same name")
        names.add(exclusion.name)
        if exclusion.end <= exclusion.start:
            yield Problem(f"{path}.end", exclusion.end, f"not after the start, {exclusion.start}")
