"""Shared GPUs: what a pool asks for is one way of sharing, and its GPU can be shared so.

That a model asks for one part only is a matter of its layout (:mod:`llm_serving.planning.parallelism`).
"""

from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.errors import Problem, Suggestion, nearest
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import Pool, SharingSpec, SharingStrategy

_IN_TURNS = Suggestion(
    f"strategy: {SharingStrategy.TIME_SHARING.value} and clients: 2",
    values=[{"strategy": SharingStrategy.TIME_SHARING.value, "clients": 2}],
)


def check_sharing(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``pools[].sharing``."""
    for index, pool in enumerate(stack.pools):
        if pool.sharing is not None:
            yield from check_pool_sharing(f"pools[{index}]", pool, pool.sharing)
            yield from _clients(f"pools[{index}].sharing.clients", stack.cloud, pool.sharing)


def _clients(path: str, cloud: Cloud, sharing: SharingSpec) -> Iterator[Problem]:
    most = cloud.most_gpu_clients
    if most is not None and sharing.clients is not None and sharing.clients > most:
        yield Problem(path, sharing.clients, f"must be at most {most} on {cloud.name}", Suggestion(values=[most]))


def check_pool_sharing(path: str, pool: Pool, sharing: SharingSpec) -> Iterator[Problem]:
    """The sharing of one pool; ``path`` is the pool's."""
    place = f"{path}.sharing"
    in_turns = SharingStrategy.TIME_SHARING.value
    known = {gpu.name: gpu for gpu in catalog.accelerators()}
    if pool.accelerator in known and known[pool.accelerator].memory_gib is None:
        reason = f"a {pool.accelerator} has no memory of its own to share"
        yield Problem(place, None, reason, Suggestion("leave it out; gpusPerNode divides a node", removal=True))
    elif sharing.partition is None and sharing.strategy is None:
        if sharing.clients is None:
            yield Problem(place, None, "does not say how GPUs are shared", _IN_TURNS)
        else:
            reason = f"{sharing.clients} pods share a GPU, and how is not said"
            yield Problem(f"{place}.strategy", None, reason, Suggestion(values=[in_turns]))
    elif sharing.partition is None:
        if sharing.clients is None:
            yield Problem(f"{place}.clients", None, "how many pods share a GPU is not said", Suggestion(values=[2]))
    elif sharing.strategy is not None or sharing.clients is not None:
        both = "strategy" if sharing.strategy is not None else "clients"
        value = sharing.clients if sharing.strategy is None else sharing.strategy.value
        reason = "the GPUs are divided already (partition), and each instance of MIG is one pod's"
        yield Problem(f"{place}.{both}", value, reason, Suggestion(removal=True, edits=[{"partition": None}]))
    elif pool.accelerator in known:
        yield from _partition(f"{place}.partition", pool.accelerator, sharing.partition)


def _partition(path: str, accelerator: str, partition: str) -> Iterator[Problem]:
    profiles = catalog.mig_profiles(accelerator)
    measured = [name for name, profile in profiles.items() if profile.memory_gib is not None]
    if not profiles:
        reason = f"a {accelerator} cannot be divided into MIG instances"
        yield Problem(path, partition, reason, Suggestion(str(_IN_TURNS), edits=[{"": None, **_IN_TURNS.values[0]}]))
    elif partition not in profiles:
        reason = f"not a MIG profile of a {accelerator}"
        yield Problem(path, partition, reason, nearest(partition, measured or profiles))
    elif partition not in measured:
        reason = f"how much memory a process sees of it on a {accelerator} is not known, so that nothing can be planned"
        yield Problem(path, partition, reason, nearest(partition, measured) if measured else _not_shared(path))


def _not_shared(path: str) -> Suggestion:
    return Suggestion("leave sharing out", edits=[{f"/{path.removesuffix('.partition')}": None}])
