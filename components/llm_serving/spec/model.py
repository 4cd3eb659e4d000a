"""A model as a stack serves it: which releases, where, how many."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.autoscaling import AutoscalingSpec
from llm_serving.spec.disruption import DrainSpec
from llm_serving.spec.engine import EngineSpec
from llm_serving.spec.kubernetes import ImageName
from llm_serving.spec.names import MAX_COUNT, Count, Fraction, ModelName, NamespaceName, PoolName, PositiveCount, Semver
from llm_serving.spec.timeouts import TimeoutsSpec


class ServiceClass(StrEnum):
    """What a model gives way to when capacity is short: ``batch`` is shed first, ``critical`` last."""

    CRITICAL = "critical"
    STANDARD = "standard"
    BATCH = "batch"


class CanaryChoice(Frozen):
    """A release that gets a part of the requests.

    A release that gets a part of the requests: a canary, the other colour of blue/green, or one side of an A/B test.
    """

    release: Semver
    """Its version."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """Percent of the requests that the gateway sends to it."""
    replicas: PositiveCount = 1
    """Instances to start with; where the model scales, the fewest."""


class ReleaseChoice(Frozen):
    """Which releases of a model are served. Each has instances of its own.

    Moving a name from one to another starts and stops nothing.
    """

    stable: Semver
    """Version that serves, for example `1.4.0`."""
    canary: CanaryChoice | None = None
    """Version that gets a share of the requests beside it."""
    previous: Semver | None = None
    """Version that stays ready, with one instance, for a way back."""

    @model_validator(mode="after")
    def _apart(self) -> "ReleaseChoice":
        if self.canary is not None and self.canary.release == self.stable:
            reason = "is the stable release already"
            other = Suggestion("another release, or no canary", needs=Needs.ELSEWHERE)
            raise ProblemsError([Problem("canary.release", self.canary.release, reason, other)])
        if self.previous in (self.stable, self.canary.release if self.canary else None) and self.previous:
            other = Suggestion("leave it out, or an older release", removal=True)
            raise ProblemsError([Problem("previous", self.previous, "serves already", other)])
        return self

    @property
    def versions(self) -> tuple[str, ...]:
        """Every release that has instances, the stable one first."""
        canary = () if self.canary is None else (self.canary.release,)
        return (self.stable, *canary, *(() if self.previous is None else (self.previous,)))


PAUSE_IMAGE = "registry.k8s.io/pause:3.10.1"
"""The image that Kubernetes 1.34 itself starts in every pod (kubeadm's constants): most nodes have it."""


class WarmPoolSpec(Frozen):
    """Capacity that is ready before it is needed."""

    placeholders: Count = 0
    """Pods of the lowest priority, each as large as an instance, that hold nodes ready and give way."""
    image: ImageName = PAUSE_IMAGE
    """Image of a program that waits; Kubernetes' own `pause` by default.

    Another name of it where nodes reach only a registry of yours.
    """


class ModelSpec(Frozen):
    """One model: which release, where, how many.

    One model of a stack. The release decides what is answered, this decides where and how.
    """

    name: ModelName
    """Name under which clients ask for the model; also of its objects.

    Also the folder of its releases.
    """
    team: NamespaceName = "default-team"
    """Team that owns it; also its namespace.

    Each team has a namespace.
    """
    releases: ReleaseChoice
    """Which releases serve."""
    accept_license: bool = False
    """Confirms the licence of a gated model."""
    pool: PoolName
    """Name of the pool."""
    service_class: ServiceClass = ServiceClass.STANDARD
    """`critical`, `standard` (the default) or `batch`: what gives way when capacity is short."""
    replicas: PositiveCount = 1
    """Number of engine instances; 1 by default. Where `autoscaling` is given, it decides."""
    autoscaling: AutoscalingSpec | None = None
    """Scale by demand.

    ``None`` for a fixed number.
    """
    on_demand_base: PositiveCount | None = None
    """Of the instances, those that run on capacity that is not taken away.

    The others take the pool's capacity in its order. ``None`` for "all take the pool's order".
    """
    engine: EngineSpec = EngineSpec()
    """Options of the engine."""
    tensor_parallelism: Annotated[int, Field(ge=1, le=16)] | None = None
    """GPUs of one instance; left out: the smallest number that fits."""
    gpu_memory_utilization: Fraction = 0.9
    """Share of the GPU's memory that the engine may use; 0.9 by default."""
    min_concurrency: Annotated[float, Field(ge=1, le=MAX_COUNT)] = 1
    """Requests of full context length that must fit the KV cache at once; 1 by default."""
    surge: Count = 0
    """Instances that a rollout may start beyond `replicas`. With 0, the default, an instance ends before its
    successor starts, which needs no spare GPU.

    Each one needs GPUs and quota of its own.
    """
    drain: DrainSpec = DrainSpec()
    """How an instance is taken out of service."""
    timeouts: TimeoutsSpec = TimeoutsSpec()
    """How long to wait for an instance."""
    warm_pool: WarmPoolSpec = WarmPoolSpec()
    """Capacity that is ready before it is needed."""
    compile_cache: bool = False
    """A Job compiles the release once, and instances read what it wrote."""

    @property
    def most_replicas(self) -> int:
        """Instances of the stable release at most."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max

    @property
    def may_sleep(self) -> bool:
        """Whether it may have no instance while nobody asks it."""
        return self.autoscaling is not None and self.autoscaling.may_sleep

    @property
    def fewest_replicas(self) -> int:
        """Instances of the stable release at least."""
        return self.replicas if self.autoscaling is None else self.autoscaling.min
