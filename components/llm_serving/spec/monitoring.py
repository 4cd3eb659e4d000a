"""What is watched of models."""

from typing import Annotated

from llm_serving.arguments import Frozen
from llm_serving.spec.forms import BASE_URL
from llm_serving.spec.model import ServiceClass
from llm_serving.spec.names import Count, ModelName, NamespaceName, ObjectName, PositiveAmount, Semver
from llm_serving.spec.release import EngineName
from llm_serving.spec.slo import SloSpec


class WatchedReleaseSpec(Frozen):
    """One release of a model."""

    version: Semver
    """Its version."""
    name: ObjectName
    """Name of the object that holds its instances."""
    engine: EngineName
    """Its engine."""
    multi_node: bool = False
    """An instance has several nodes; false by default."""
    base: Count = 0
    """Instances in a second object, `<name>-base`; none by default."""
    start_seconds: PositiveAmount | None = None
    """How long the engine may take from the start of its container until it is ready, as planned; left out: nobody
    watches."""


class WatchedModelSpec(Frozen):
    """A model whose series, objectives and faults are watched."""

    name: ModelName
    """Name of the model."""
    team: NamespaceName
    """Team that owns it; also its namespace."""
    service_class: ServiceClass = ServiceClass.STANDARD
    """`critical`, `standard` (the default) or `batch`: how many of its requests must be answered where the objectives
    do not say."""
    slo: SloSpec = SloSpec()
    """Its service level objectives."""
    may_sleep: bool = False
    """It has no instance while nobody asks it; false by default."""
    releases: tuple[WatchedReleaseSpec, ...]
    """Its releases, the stable one first."""


class MonitoringSpec(Frozen):
    """How people learn what is watched."""

    runbook_url: Annotated[str, BASE_URL] | None = None
    """Page with the chapters of the runbook, `docs/runbook.md` where your people read it; each alert leads to its own.
    Left out: alerts name their chapter without a link."""
