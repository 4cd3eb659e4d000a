"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class WatchedObjectiveArgs(TypedDict):
    """A duration that a share of the requests keeps."""

    seconds: float
    """The duration, in seconds."""
    percentile: NotRequired[float]
    """Percent of the requests that keep it; 95 by default."""


class WatchedSloArgs(TypedDict):
    """Service level objectives of a model. Alerts are made of those that are given."""

    availability: NotRequired[float]
    """Percent of the requests of 30 days that are answered, measured at the gateway; what the client did wrong does not
    count. Left out: 99.9 for `critical`, 99.5 for `standard`, 99 for `batch`."""
    time_to_first_token: NotRequired[WatchedObjectiveArgs]
    """From a request's arrival at the engine to its first token."""
    inter_token_latency: NotRequired[WatchedObjectiveArgs]
    """From one token to the next."""
    latency: NotRequired[WatchedObjectiveArgs]
    """From a request's arrival at the engine to its last token."""


class WatchedReleaseArgs(TypedDict):
    """One release of a model."""

    version: str
    """Its version."""
    name: str
    """Name of the object that holds its instances."""
    engine: str
    """Its engine."""
    multi_node: NotRequired[bool]
    """An instance has several nodes; false by default."""
    base: NotRequired[int]
    """Instances in a second object, `<name>-base`; none by default."""
    start_seconds: NotRequired[int]
    """How long the engine may take from the start of its container until it is ready, as planned; left out: nobody
    watches."""


class WatchedModelArgs(TypedDict):
    """A model whose series, objectives and faults are watched."""

    name: str
    """Name of the model."""
    team: str
    """Team that owns it; also its namespace."""
    service_class: NotRequired[str]
    """`critical`, `standard` (the default) or `batch`: how many of its requests must be answered where the objectives
    do not say."""
    slo: NotRequired[WatchedSloArgs]
    """Its service level objectives."""
    may_sleep: NotRequired[bool]
    """It has no instance while nobody asks it; false by default."""
    releases: list[WatchedReleaseArgs]
    """Its releases, the stable one first."""
