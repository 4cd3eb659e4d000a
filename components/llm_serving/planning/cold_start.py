"""How long it takes until a new instance answers: a budget, stage by stage, so that a measurement can replace each of
them, and each says which setting would shorten it.

Time-outs are twice the total, so an estimate is the cautious one unless a setting asks for a faster way. Owns the sum
and what a setting changes of it; the numbers, with source and date, are the catalog's (``startup.csv``; of the engine's
whole start ``devices.csv``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Basis, Device, StartupEstimate, StartupStage, StartupUnit
from llm_serving.contract import ENGINE_CONTAINER
from llm_serving.metrics.promql import selector, startup_seconds
from llm_serving.metrics.series import KubeStateSeries, LaunchStage
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.spec import EngineName, ModelSpec, ReleaseSpec, Task
from llm_serving.spec.names import Count

_CONTAINER_STARTED = selector(KubeStateSeries.CONTAINER_STARTED, {"container": ENGINE_CONTAINER})
_MEASURED_BY = {
    # A container starts after its image has arrived and its volumes are mounted.
    StartupStage.NODE_START: f"{KubeStateSeries.POD_SCHEDULED} - {KubeStateSeries.POD_CREATED}",
    StartupStage.IMAGE_PULL: f"{_CONTAINER_STARTED} - ignoring(container) {KubeStateSeries.POD_SCHEDULED}",
    StartupStage.WEIGHTS: startup_seconds(LaunchStage.WEIGHTS),
    StartupStage.COMPILE: startup_seconds(LaunchStage.COMPILATION),
    StartupStage.GRAPHS: startup_seconds(LaunchStage.GRAPHS),
    StartupStage.INIT: startup_seconds(LaunchStage.INITIALIZATION),
    StartupStage.WARM_UP: startup_seconds(LaunchStage.WARM_UP),
}

_OF_THE_CLUSTER = frozenset({StartupStage.NODE_START, StartupStage.IMAGE_PULL})
"""Stages that kube-state-metrics measures, the others are the launcher's."""

_GRAPH_SIZES = (1, 2, 4, 8, 16, 24, 32, 64)
"""Sizes to suggest: those of the published measurement."""


def warms_up(model: ModelSpec, release: ReleaseSpec) -> bool:
    """Whether the launcher sends a request before an instance counts as ready. It asks for a text, which models that
    make vectors or scores do not write."""
    return model.engine.warm_up and model.engine.launcher and release.task is Task.GENERATE


@dataclass(frozen=True)
class StartupChoices:
    """What of a start is not left to the cautious way. A way of which nothing is known on a cloud or a device counts as
    the cautious one.

    Attributes:
        image_streamed: the container starts while its image still arrives.
        image_preloaded: the image is on a disk that comes with the node.
        weights_parallel: the mounted bucket downloads each file in parallel parts.
        weights_streamed: the Run:ai streamer fills the GPU while it reads.
        compile_cached: what the compiler made is read instead of made again.
        graphs: number of CUDA graphs; ``None`` for the engine's own.
        warm_up: a request is sent before the instance counts as ready.
        placeholders: nodes that are held ready.
        launched: the launcher measures the start.
        told: the engine tells the launcher of the parts of its own start, as vLLM alone does.
    """

    image_streamed: bool = False
    image_preloaded: bool = False
    weights_parallel: bool = False
    weights_streamed: bool = False
    compile_cached: bool = False
    graphs: int | None = None
    warm_up: bool = False
    placeholders: int = 0
    launched: bool = True
    told: bool = True

    @classmethod
    def of(cls, cloud: Cloud, model: ModelSpec, release: ReleaseSpec) -> "StartupChoices":
        """What settings and release ask for. Parallel downloads of a mounted bucket are never assumed: how much they
        give depends on the node's disks."""
        host = release.image.repository.split("/", 1)[0]
        registry = cloud.streaming_registry
        return cls(
            image_streamed=registry is not None and host.endswith(registry),
            weights_streamed=model.engine.stream_weights,
            compile_cached=model.compile_cache,
            graphs=len(set(model.engine.graph_sizes)) or None,
            warm_up=warms_up(model, release),
            placeholders=model.warm_pool.placeholders,
            launched=model.engine.launcher,
            told=release.engine.name is EngineName.VLLM,
        )

    def measured_by(self, stage: StartupStage) -> str | None:
        """PromQL of what a stage took; ``None`` where nothing measures it."""
        if stage in _OF_THE_CLUSTER:
            return _MEASURED_BY[stage]
        is_told = self.launched and (self.told or stage is StartupStage.WARM_UP)
        return _MEASURED_BY[stage] if is_told else None


class Shortcut(Frozen):
    """A way to shorten a stage.

    Attributes:
        setting: what to set, as it stands in a settings file, or what to change where that is no setting.
        seconds: what the stage takes then.
        basis: how sure that is.
        note: its limits; empty where there are none.
    """

    setting: str
    seconds: Count
    basis: Basis
    note: str = ""


class Stage(Frozen):
    """One stage of a cold start.

    Attributes:
        name: which one.
        seconds: how long, estimated.
        way: how it is gone through.
        basis: how sure the estimate is.
        source, date: where it comes from, and when that was read.
        measured_by: PromQL of what was measured, in seconds, for each instance; ``None`` where nothing measures it.
        shortcuts: what would shorten it.
    """

    name: StartupStage
    seconds: Count
    way: str
    basis: Basis
    source: str
    date: str
    measured_by: str | None
    shortcuts: tuple[Shortcut, ...] = ()


class ColdStart(Frozen):
    """Stages of a cold start, one after the other.

    Attributes:
        stages: every stage that the instance goes through, in order.
        measured_by: PromQL of what a container's start took; ``None`` where nothing measures it.
    """

    stages: tuple[Stage, ...]
    measured_by: str | None = None

    @property
    def total(self) -> int:
        """Seconds from the pending pod to the first answer."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def node_start(self) -> int:
        """Seconds until a machine is bought and its GPU driver ready; 0 for existing nodes."""
        return self.seconds(StartupStage.NODE_START)

    @property
    def image_pull(self) -> int:
        """Seconds until the engine's image has arrived."""
        return self.seconds(StartupStage.IMAGE_PULL)

    @property
    def weights(self) -> int:
        """Seconds until the weights have come from the cache to the accelerators."""
        return self.seconds(StartupStage.WEIGHTS)

    @property
    def engine_init(self) -> int:
        """Seconds in which the engine compiles, captures graphs and initializes itself."""
        return sum(map(self.seconds, (StartupStage.COMPILE, StartupStage.GRAPHS, StartupStage.INIT)))

    @property
    def warm_up(self) -> int:
        """Seconds of the request before the first user's."""
        return self.seconds(StartupStage.WARM_UP)

    def seconds(self, name: StartupStage) -> int:
        """Seconds of a stage; 0 where the instance does not go through it."""
        return next((stage.seconds for stage in self.stages if stage.name is name), 0)


def cold_start(
    cloud: Cloud, device: Device, weight_bytes: float, *, choices: StartupChoices = StartupChoices()
) -> ColdStart:
    """Estimate for an instance on this device with this many bytes of weights, all of its accelerators together.

    Raises:
        UnknownFact: for a cloud without a value.
    """
    known = catalog.startup(cloud.name, device.device)
    stages = [
        _stage(StartupStage.NODE_START, "new", known, shortcuts=_held(choices)),
        _stage(StartupStage.IMAGE_PULL, _image(choices), known, shortcuts=_IMAGES),
        _stage(StartupStage.WEIGHTS, _weights(choices), known, size=weight_bytes, shortcuts=_weight_paths(choices)),
        _stage(
            StartupStage.COMPILE,
            "cached" if choices.compile_cached else "fresh",
            known,
            shortcuts={"cached": ("compileCache: true", "")},
        ),
        _stage(
            StartupStage.GRAPHS,
            "default" if choices.graphs is None else "chosen",
            known,
            size=choices.graphs or len(_GRAPH_SIZES),
            shortcuts={"chosen": (f"engine.graphSizes: {list(_GRAPH_SIZES)}", "larger batches run without a graph")},
        ),
        _init(device, known),
        _stage(StartupStage.WARM_UP, "asked", known) if choices.warm_up else None,
    ]
    return ColdStart(
        stages=tuple(
            stage.model_copy(update={"measured_by": choices.measured_by(stage.name)})
            for stage in stages
            if stage is not None
        ),
        measured_by=startup_seconds(LaunchStage.TOTAL) if choices.launched else None,
    )


_Known = Mapping[StartupStage, Mapping[str, StartupEstimate]]
_Shortcuts = dict[str, tuple[str, str]]
"""By variant: what to set, and the limits of it."""


def _stage(
    name: StartupStage, wanted: str, known: _Known, *, size: float = 0, shortcuts: _Shortcuts | None = None
) -> Stage | None:
    """The stage in the wanted way, or in the cautious one where nothing is known of that; ``None`` where the device has
    no such stage."""
    variants = known.get(name)
    if not variants:
        return None
    estimate = variants.get(wanted) or next(iter(variants.values()))
    seconds = _seconds(estimate, size)
    faster = [
        Shortcut(setting=setting, seconds=_seconds(variants[variant], size), basis=variants[variant].basis, note=note)
        for variant, (setting, note) in (shortcuts or {}).items()
        if variant in variants and variant != estimate.variant
    ]
    return Stage(
        name=name,
        seconds=seconds,
        way=estimate.variant,
        basis=estimate.basis,
        source=estimate.source,
        date=estimate.date,
        measured_by=_MEASURED_BY[name],
        shortcuts=tuple(shortcut for shortcut in faster if shortcut.seconds < seconds),
    )


def _init(device: Device, known: _Known) -> Stage:
    """The rest of the engine's whole start: what compilation and graphs, where the device has them, do not take."""
    parts = sum(
        _seconds(next(iter(known[stage].values())), 0)
        for stage in (StartupStage.COMPILE, StartupStage.GRAPHS)
        if stage in known
    )
    return Stage(
        name=StartupStage.INIT,
        seconds=max(0, device.init_seconds - parts),
        way="engine",
        basis=Basis.PUBLISHED if parts else Basis.MEASURED,
        source=device.source,
        date=device.date,
        measured_by=_MEASURED_BY[StartupStage.INIT],
    )


def _seconds(estimate: StartupEstimate, size: float) -> int:
    match estimate.unit:
        case StartupUnit.SECONDS:
            return ceil(estimate.amount)
        case StartupUnit.BYTES_A_SECOND:
            return ceil(size / estimate.amount)
        case StartupUnit.SECONDS_A_GRAPH:
            return ceil(size * estimate.amount)


def _image(choices: StartupChoices) -> str:
    if choices.image_preloaded:
        return "preloaded"
    return "streamed" if choices.image_streamed else "pulled"


def _weights(choices: StartupChoices) -> str:
    if choices.weights_streamed:
        return "streamed"
    return "parallel" if choices.weights_parallel else "plain"


def _held(choices: StartupChoices) -> _Shortcuts:
    """Nodes that are held ready shorten the start of as many instances, never of all: time-outs must last for one that
    comes after them."""
    held = choices.placeholders
    if held:
        return {"held": (f"warmPool.placeholders: {held}", f"in force, for {held} instance(s) at once")}
    return {"held": ("warmPool.placeholders: 1", "for one instance at once")}


_IMAGES: _Shortcuts = {
    "streamed": ("registry.pullThrough", "or a release whose image is in the cloud's own registry; nodes stream it"),
    "preloaded": ("a secondary boot disk that holds the image", "not a setting of this project"),
}


def _weight_paths(choices: StartupChoices) -> _Shortcuts:
    if choices.weights_streamed:
        return {}
    return {
        "streamed": ("engine.streamWeights: true", ""),
        "parallel": ("parallel downloads of the mounted bucket", "in force, but not counted until it was measured"),
    }
