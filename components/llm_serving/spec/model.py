"""A model as a stack serves it: which releases, where, how many."""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.drain import DrainSpec
from llm_serving.spec.names import Count, Fraction, ModelName, NamespaceName, PoolName, PositiveCount, Semver


class ReleaseChoice(Frozen):
    """Which releases of a model a stack serves.

    Attributes:
        stable: version that serves.
    """

    stable: Semver


class ModelSpec(Frozen):
    """One model of a stack. The release decides what is answered, this decides where and how.

    Attributes:
        name: name under which clients ask for the model; also the folder of its releases.
        team: team that owns it; each team has a namespace.
        releases: which releases serve.
        accept_license: confirms the licence of a gated model.
        pool: name of the pool.
        replicas: number of engine instances.
        tensor_parallelism: GPUs of one instance; ``None`` for the smallest number that fits.
        gpu_memory_utilization: share of the GPU's memory that the engine may use.
        min_concurrency: requests of full context length that must fit the KV cache at once.
        surge: instances that a rollout may start beyond ``replicas``. With 0 an instance ends before its successor
            starts, which needs no spare GPU; each one needs GPUs and quota of its own.
        drain: how an instance is taken out of service.
    """

    name: ModelName
    team: NamespaceName = "default-team"
    releases: ReleaseChoice
    accept_license: bool = False
    pool: PoolName
    replicas: PositiveCount = 1
    tensor_parallelism: Annotated[int, Field(ge=1, le=16)] | None = None
    gpu_memory_utilization: Fraction = 0.9
    min_concurrency: Annotated[float, Field(ge=1)] = 1
    surge: Count = 0
    drain: DrainSpec = DrainSpec()
