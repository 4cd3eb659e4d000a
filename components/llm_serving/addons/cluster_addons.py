"""Add-ons of a cluster: the component that installs them by Helm.

Owns the namespaces and Helm releases of what it is told to install. Leaves alone: what somebody else installed (it is
not looked for, and nothing of it is changed), and every custom resource that an addon watches. Those depend on this
component, so that they are gone before the operator that removes their finalizers.
"""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import core, helm, meta, networking
from pydantic import Field, model_validator

from llm_serving.addons import table
from llm_serving.addons.addon import Addon, AddonContext, Placement, Storage
from llm_serving.addons.arguments import AddonTolerationArgs, GpuExporterArgs, GpuNodesArgs
from llm_serving.component import Frozen, child, raising_input_errors, token, validated
from llm_serving.errors import LEAVE_OUT, Problem, ProblemsError
from llm_serving.helm_release import helm_release
from llm_serving.serving.arguments import ImagePullArgs
from llm_serving.serving.image_pull import check_password, pull_secret
from llm_serving.serving.network_policies import NAMESPACE_NAME, service_policy
from llm_serving.spec import GpuExporterSpec, GpuNodesSpec, ImagePullSpec
from llm_serving.spec.forms import BASE_URL
from llm_serving.spec.names import NamespaceName
from llm_serving.spec.toleration import Toleration


class ClusterAddonsArgs(TypedDict):
    """Arguments of `ClusterAddons`. What is not asked for is not installed, and not looked for."""

    keda: NotRequired[bool]
    """Install KEDA, which scales models."""
    monitoring: NotRequired[bool]
    """Install Prometheus with its operator, and kube-state-metrics."""
    leader_worker_set: NotRequired[bool]
    """Install LeaderWorkerSet, for instances of more than one node."""
    dcgm_exporter: NotRequired[bool]
    """Install NVIDIA's DCGM exporter, for models that scale by the utilization of GPUs that no launcher reports."""
    gateway_api: NotRequired[bool]
    """Install the definitions of the Gateway API, for a gateway."""
    cert_manager: NotRequired[bool]
    """Install cert-manager, for certificates of a gateway; the definitions of the Gateway API must be there."""
    gpu_nodes: NotRequired[list[GpuNodesArgs]]
    """Nodes that `dcgmExporter` runs on, by pool; needed with it."""
    gpu_exporter: NotRequired[GpuExporterArgs]
    """An exporter of GPUs' utilization that is there, and that the Prometheus of `monitoring` reads."""
    monitoring_namespace: NotRequired[str]
    """Namespace of the Prometheus that reads `dcgmExporter`; `monitoring` by default."""
    alertmanager_url: NotRequired[str]
    """Alertmanager that the Prometheus of `monitoring` tells of alerts. Left out: nobody is told."""
    prometheus_url: NotRequired[str]
    """Where a Prometheus that is already there answers queries; not beside `monitoring`."""
    retention_days: NotRequired[int]
    """For how long Prometheus keeps series; 15 by default."""
    storage_gib: NotRequired[int]
    """Size of Prometheus' volume; 50 by default."""
    storage_class: NotRequired[str]
    """Storage class of Prometheus' volume; the cluster's default one by default."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes on which the addons run, for example those of the system pool."""
    tolerations: NotRequired[list[AddonTolerationArgs]]
    """Taints of those nodes."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images. A Secret is made in each namespace where it names a registry."""
    image_pull_password: NotRequired[pulumi.Input[str]]
    """Password of `imagePull.username`."""
    labels: NotRequired[dict[str, str]]
    """More labels for the namespaces."""


class ClusterAddonsInputs(Frozen):
    """Arguments of :class:`ClusterAddons`, validated."""

    keda: bool = False
    monitoring: bool = False
    leader_worker_set: bool = False
    dcgm_exporter: bool = False
    gateway_api: bool = False
    cert_manager: bool = False
    gpu_nodes: tuple[GpuNodesSpec, ...] = ()
    gpu_exporter: GpuExporterSpec | None = None
    monitoring_namespace: NamespaceName = table.MONITORING.namespace
    alertmanager_url: Annotated[str, BASE_URL] | None = None
    prometheus_url: Annotated[str, BASE_URL] | None = None
    retention_days: Annotated[int, Field(ge=1)] = 15
    storage_gib: Annotated[int, Field(ge=10)] = 50
    storage_class: str | None = None
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    image_pull: ImagePullSpec | None = None
    image_pull_password: Any = None
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _gpu_nodes_are_known(self) -> "ClusterAddonsInputs":
        if self.dcgm_exporter and not self.gpu_nodes:
            reason = "required with dcgmExporter, which runs on each node with GPUs"
            raise ProblemsError([Problem("gpuNodes", None, reason, "labels of the nodes of each pool")])
        return self

    @model_validator(mode="after")
    def _one_prometheus(self) -> "ClusterAddonsInputs":
        if self.monitoring and self.prometheus_url is not None:
            reason = "is another Prometheus than the one that monitoring installs"
            raise ProblemsError([Problem("prometheusUrl", self.prometheus_url, reason, "one of the two")])
        if self.alertmanager_url is not None and not self.monitoring:
            reason = "without meaning without monitoring, whose Prometheus it is for"
            raise ProblemsError([Problem("alertmanagerUrl", self.alertmanager_url, reason, LEAVE_OUT)])
        return self


class ClusterAddons(pulumi.ComponentResource):
    """What a cluster needs before models scale and are watched."""

    prometheus_url: pulumi.Output[str]
    """Where Prometheus answers queries; empty where there is none."""
    installed: pulumi.Output[list[str]]
    """Names of the Helm releases."""

    def __init__(self, name: str, args: ClusterAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ClusterAddonsInputs, args, "ClusterAddons", name)
        with raising_input_errors(f"ClusterAddons {name!r}"):
            check_password(inputs.image_pull, inputs.image_pull_password)
        super().__init__(token("ClusterAddons"), name, {}, opts)
        requested = [addon for addon in table.ADDONS if getattr(inputs, addon.name)]
        context = AddonContext(
            placement=Placement(inputs.node_selector, inputs.tolerations),
            storage=Storage(inputs.retention_days, inputs.storage_gib, inputs.storage_class),
            installed=frozenset(addon.name for addon in requested),
            gpu_nodes=inputs.gpu_nodes,
            gpu_exporter=inputs.gpu_exporter,
            alertmanager_url=inputs.alertmanager_url,
            pull_secrets=() if inputs.image_pull is None else inputs.image_pull.secrets,
        )
        releases: list[helm.v3.Release] = []
        for addon in requested:
            # One after the other: the first one that is watched needs the definitions of the one that watches.
            releases.append(_release(self, name, addon, addon.values(context), inputs, releases[-1:]))
            _network_policy(self, name, addon, inputs, releases[-1])

        url = table.PROMETHEUS_URL if inputs.monitoring else (inputs.prometheus_url or "")
        self.prometheus_url = pulumi.Output.from_input(url)
        names = [release.name.apply(lambda release_name: release_name or "") for release in releases]
        self.installed = pulumi.Output.all(*names).apply(list)
        self.register_outputs({"prometheusUrl": self.prometheus_url, "installed": self.installed})


def _network_policy(
    parent: ClusterAddons, name: str, addon: Addon, inputs: ClusterAddonsInputs, release: helm.v3.Release
) -> None:
    """Who reaches the pods of an add-on's service."""
    service = addon.service
    if service is None:
        return
    namespaces = {client.name: client.namespace for client in table.ADDONS}
    # Somebody else's may run in another one.
    namespaces[table.MONITORING.name] = inputs.monitoring_namespace
    clients = [{NAMESPACE_NAME: namespaces[client]} for client in service.clients]
    networking.v1.NetworkPolicy(
        f"{name}-{service.name}",
        metadata=meta.v1.ObjectMetaArgs(name=service.name, namespace=addon.namespace),
        spec=service_policy(service.pods, clients, service.port),
        opts=child(parent, depends_on=[release]),
    )


def _release(
    parent: ClusterAddons,
    name: str,
    addon: Addon,
    values: dict[str, Any],
    inputs: ClusterAddonsInputs,
    after: list[helm.v3.Release],
) -> helm.v3.Release:
    chart = addon.chart
    namespace = core.v1.Namespace(
        f"{name}-{chart.release}",
        metadata=meta.v1.ObjectMetaArgs(
            name=addon.namespace,
            labels={
                **inputs.labels,
                "app.kubernetes.io/part-of": "llm-serving",
                "app.kubernetes.io/managed-by": "pulumi",
                "pod-security.kubernetes.io/enforce": addon.pod_security,
            },
        ),
        opts=child(parent),
    )
    namespace_name = namespace.metadata.apply(lambda metadata: metadata.name or addon.namespace)
    secrets = pull_secret(
        parent,
        f"{name}-{chart.release}-image-pull",
        namespace_name,
        inputs.image_pull,
        inputs.image_pull_password,
        inputs.labels,
    )
    return helm_release(parent, f"{name}-{chart.release}", chart, namespace_name, values, [namespace, *secrets, *after])
