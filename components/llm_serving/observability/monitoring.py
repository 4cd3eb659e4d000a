"""Recorded series and alerts of a stack's models, as objects of Prometheus' operator.

Owns two PrometheusRules. Leaves alone: Prometheus and its operator, which must be there, and where alerts are sent.
"""

from typing import Annotated, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apiextensions, meta
from pydantic import Field

from llm_serving.component import Frozen, child, token, validated
from llm_serving.observability.alerts import alert_groups, objectives
from llm_serving.observability.arguments import WatchedModelArgs
from llm_serving.observability.recording import Group, recording_groups
from llm_serving.serving.labels import MANAGED
from llm_serving.serving.monitoring import API_VERSION
from llm_serving.spec import WatchedModelSpec
from llm_serving.spec.forms import BASE_URL
from llm_serving.spec.names import NamespaceName, ObjectName

KIND = "PrometheusRule"
SERIES, ALERTS = "series", "alerts"
"""Ends of the objects' names."""


class MonitoringArgs(TypedDict):
    """Arguments of `Monitoring`."""

    namespace: NotRequired[str]
    """Namespace of its objects, one whose rules Prometheus reads; `monitoring` by default."""
    prefix: NotRequired[str]
    """Beginning of its objects' names; `llm-serving` by default. A second stack on a cluster needs another."""
    models: list[WatchedModelArgs]
    """Models that are watched."""
    gateway: NotRequired[bool]
    """A `Gateway` is in front of them, and says what clients see."""
    runbook_url: NotRequired[str]
    """Page with the chapters of the runbook, `docs/runbook.md` where your people read it; each alert leads to its own.
    Left out: alerts name their chapter without a link."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class MonitoringInputs(Frozen):
    """Arguments of :class:`Monitoring`, validated."""

    namespace: NamespaceName = "monitoring"
    prefix: ObjectName = "llm-serving"
    models: Annotated[tuple[WatchedModelSpec, ...], Field(min_length=1)]
    gateway: bool = False
    runbook_url: Annotated[str, BASE_URL] | None = None
    labels: dict[str, str] = {}


class Monitoring(pulumi.ComponentResource):
    """What is recorded of models, and when somebody is called."""

    alerts: pulumi.Output[list[str]]
    """Names of the alerts."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(MonitoringInputs, args, "Monitoring", name)
        super().__init__(token("Monitoring"), name, {}, opts)
        engines = {release.engine for model in inputs.models for release in model.releases}
        quantiles = [(kind, objective.quantile) for model in inputs.models for kind, objective in objectives(model.slo)]
        series = recording_groups(engines, quantiles, gateway=inputs.gateway)
        alerts = alert_groups(inputs.models, inputs.runbook_url, gateway=inputs.gateway)
        for end, groups in ((SERIES, series), (ALERTS, alerts)):
            _rules(self, f"{name}-llm-serving-{end}", f"{inputs.prefix}-{end}", groups, inputs)
        self.alerts = pulumi.Output.from_input(sorted({rule["alert"] for group in alerts for rule in group["rules"]}))
        self.register_outputs({"alerts": self.alerts})


def _rules(parent: pulumi.Resource, name: str, object_name: str, groups: list[Group], inputs: MonitoringInputs) -> None:
    labels = {**inputs.labels, **MANAGED}
    apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind=KIND,
        metadata=meta.v1.ObjectMetaArgs(name=object_name, namespace=inputs.namespace, labels=labels),
        spec={"groups": groups},
        opts=child(parent),
    )
