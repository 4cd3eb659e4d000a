"""The CPU nodes of a cluster: a machine that the cloud has, without GPUs."""

from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.catalog import UnknownFact
from llm_serving.errors import MOST_CANDIDATES, Problem, Suggestion
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec.aws import AwsSystemPool
from llm_serving.spec.gcp import GcpSystemPool


def check_system_pool(cloud: Cloud, pool: GcpSystemPool | AwsSystemPool) -> Iterator[Problem]:
    """Everything about ``cluster.systemPool``."""
    if pool.min > pool.max:
        most = Suggestion(values=[pool.max])
        yield Problem("cluster.systemPool.min", pool.min, f"more than the maximum of {pool.max}", most)
    plain = [other.name for other in catalog.machine_types(cloud.name) if other.accelerator is None]
    try:
        machine = catalog.machine_type(cloud.name, pool.machine_type)
    except UnknownFact as unknown:
        yield Problem(
            "cluster.systemPool.machineType",
            pool.machine_type,
            f"not a machine type that is known on {cloud.name}",
            unknown.nearest or Suggestion(values=plain[:MOST_CANDIDATES]),
        )
        return
    if machine.accelerator is not None:
        yield Problem(
            "cluster.systemPool.machineType",
            pool.machine_type,
            f"has {machine.gpus} x {machine.accelerator}; system nodes need no GPU",
            Suggestion(values=plain[:MOST_CANDIDATES]),
        )
