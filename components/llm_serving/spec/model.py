"""A model as a stack serves it: which releases, where, how many."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec.autoscaling import AutoscalingSpec
from llm_serving.spec.drain import DrainSpec
from llm_serving.spec.engine import EngineSpec
from llm_serving.spec.names import Count, Fraction, ModelName, NamespaceName, PoolName, PositiveCount, Semver


class ServiceClass(StrEnum):
    """What a model gives way to when capacity is short: ``batch`` is shed first, ``critical`` last."""

    CRITICAL = "critical"
    STANDARD = "standard"
    BATCH = "batch"


class CanaryChoice(Frozen):
    """A release that gets a part of the requests: a canary, the other colour of blue/green, or one side of an A/B test.

    Attributes:
        release: its version.
        weight: percent of the requests that the gateway sends to it.
        replicas: instances to start with; where the model scales, the fewest.
    """

    release: Semver
    weight: Annotated[int, Field(ge=0, le=100)]
    replicas: PositiveCount = 1


class ReleaseChoice(Frozen):
    """Which releases of a model a stack serves. Each has instances of its own; moving a name from one to another starts
    and stops nothing.

    Attributes:
        stable: version that serves.
        canary: version that gets a share of the requests beside it.
        previous: version that stays ready, with one instance, for a way back.
    """

    stable: Semver
    canary: CanaryChoice | None = None
    previous: Semver | None = None

    @model_validator(mode="after")
    def _apart(self) -> "ReleaseChoice":
        if self.canary is not None and self.canary.release == self.stable:
            reason = "is the stable release already"
            raise ProblemsError([Problem("canary.release", self.canary.release, reason, "another release, or none")])
        if self.previous in (self.stable, self.canary.release if self.canary else None) and self.previous:
            raise ProblemsError([Problem("previous", self.previous, "serves already", "an older release, or none")])
        return self

    @property
    def versions(self) -> tuple[str, ...]:
        """Every release that has instances, the stable one first."""
        canary = () if self.canary is None else (self.canary.release,)
        return (self.stable, *canary, *(() if self.previous is None else (self.previous,)))


PAUSE_IMAGE = "registry.k8s.io/pause:3.10.1"
"""The image that Kubernetes 1.34 itself starts in every pod (kubeadm's constants): most nodes have it."""


class WarmPoolSpec(Frozen):
    """Capacity that is ready before it is needed.

    Attributes:
        placeholders: pods of the lowest priority, each as large as an instance, that hold nodes ready and give way.
        image: of a program that waits; another name of it where nodes reach only a registry of yours.
    """

    placeholders: Count = 0
    image: str = PAUSE_IMAGE


class ModelSpec(Frozen):
    """One model of a stack. The release decides what is answered, this decides where and how.

    Attributes:
        name: name under which clients ask for the model; also the folder of its releases.
        team: team that owns it; each team has a namespace.
        releases: which releases serve.
        accept_license: confirms the licence of a gated model.
        pool: name of the pool.
        service_class: what gives way to whom when capacity is short.
        replicas: number of engine instances; where ``autoscaling`` is given, it decides.
        autoscaling: scale by demand; ``None`` for a fixed number.
        on_demand_base: of the instances, those that run on capacity that is not taken away; the others take the pool's
            capacity in its order. ``None`` for "all take the pool's order".
        engine: options of the engine.
        tensor_parallelism: GPUs of one instance; ``None`` for the smallest number that fits.
        gpu_memory_utilization: share of the GPU's memory that the engine may use.
        min_concurrency: requests of full context length that must fit the KV cache at once.
        surge: instances that a rollout may start beyond ``replicas``. With 0 an instance ends before its successor
            starts, which needs no spare GPU; each one needs GPUs and quota of its own.
        drain: how an instance is taken out of service.
        warm_pool: capacity that is ready before it is needed.
        compile_cache: a Job compiles the release once, and instances read what it wrote, instead of compiling each.
    """

    name: ModelName
    team: NamespaceName = "default-team"
    releases: ReleaseChoice
    accept_license: bool = False
    pool: PoolName
    service_class: ServiceClass = ServiceClass.STANDARD
    replicas: PositiveCount = 1
    autoscaling: AutoscalingSpec | None = None
    on_demand_base: PositiveCount | None = None
    engine: EngineSpec = EngineSpec()
    tensor_parallelism: Annotated[int, Field(ge=1, le=16)] | None = None
    gpu_memory_utilization: Fraction = 0.9
    min_concurrency: Annotated[float, Field(ge=1)] = 1
    surge: Count = 0
    drain: DrainSpec = DrainSpec()
    warm_pool: WarmPoolSpec = WarmPoolSpec()
    compile_cache: bool = False

    @property
    def most_replicas(self) -> int:
        """Instances of the stable release at most."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max

    @property
    def fewest_replicas(self) -> int:
        """Instances of the stable release at least."""
        return self.replicas if self.autoscaling is None else self.autoscaling.min

    @property
    def other_replicas(self) -> int:
        """Instances of canary and previous release beside the stable one's most. Requests are shared out, so the canary
        of a model that scales grows by as much as the stable release shrinks; it keeps its fewest."""
        canary = self.releases.canary
        return (0 if canary is None else canary.replicas) + (1 if self.releases.previous else 0)
