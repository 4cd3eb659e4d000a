"""The router of a release: it spreads requests over the release's engines, and leaves out those that fail.

Owns its Deployment and Service, the account by which it watches pods and the way to the API server, and its disruption
budget. Leaves alone: the engines (``ModelService``), the weights between releases (the proxy's routes), and who may ask
it (``TeamNamespace``).
"""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apps, core, meta, networking, policy, rbac
from pydantic import Field

from llm_serving.component import Frozen, child, parse_output, raising_input_errors, token, validated
from llm_serving.contract import LABEL_MODEL, LABEL_RELEASE, LABEL_TEAM, NetworkReach
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.gateway.arguments import GatewayImageArgs, RouterArgs
from llm_serving.gateway.names import router_name
from llm_serving.gateway.network_policies import api_server
from llm_serving.gateway.pods import ONE_BY_ONE
from llm_serving.gateway.router_pod import POD_VERBS, discovery_options, pod_spec, router_command
from llm_serving.serving.arguments import ImagePullArgs
from llm_serving.serving.disruption import disruption_budget
from llm_serving.serving.gateway_access import ROUTER_METRICS_PORT, ROUTER_PORT
from llm_serving.serving.labels import COMPONENT_ENGINE, COMPONENT_ROUTER, LABEL_COMPONENT, gateway_labels
from llm_serving.serving.monitoring import METRICS_PORT_NAME
from llm_serving.serving.network_policies import egress
from llm_serving.serving.pod import PORT_NAME
from llm_serving.serving.roles import RBAC
from llm_serving.spec import ImagePullSpec, ImageReference, RouterSpec, ServiceClass, Task
from llm_serving.spec.names import ModelName, NamespaceName, PositiveCount

Port = Annotated[int, Field(ge=1, le=65535)]

_PROGRESS_DEADLINE_SECONDS = 600


class ReleaseRouterArgs(TypedDict):
    """Arguments of `ReleaseRouter`."""

    model: str
    """Name of the model."""
    release: str
    """Version of the release."""
    team: str
    """Team that owns the model."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    image: GatewayImageArgs
    """Image of the router."""
    router: NotRequired[RouterArgs]
    """Which engine gets a request, and which get none for a while."""
    task: NotRequired[str]
    """What the model is asked for: `generate` (the default) or `embed`. A model that classifies has no router: it would
    lose what a rerank request says."""
    service_class: NotRequired[str]
    """`critical`, `standard` (the default) or `batch`; that of the model."""
    engine_port: NotRequired[int]
    """TCP port on which the engines answer; 8000 by default."""
    request_seconds: NotRequired[int]
    """Longest request, in seconds; 600 by default. A router that goes finishes the requests that it has."""
    awaited: NotRequired[bool]
    """Wait until the routers are ready, which they are once an engine of the release is; true by default."""
    reach: NotRequired[pulumi.Input[dict[str, Any]]]
    """Addresses of the API server: output `reach` of a network or cluster."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `TeamNamespace`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class ReleaseRouterInputs(Frozen):
    """Arguments of :class:`ReleaseRouter`, validated."""

    model: ModelName
    release: str
    team: NamespaceName
    namespace: Any
    image: ImageReference
    router: RouterSpec = RouterSpec()
    task: Task = Task.GENERATE
    service_class: ServiceClass = ServiceClass.STANDARD
    engine_port: Port = 8000
    request_seconds: PositiveCount = 600
    awaited: bool = True
    reach: Any = None
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}


class ReleaseRouter(pulumi.ComponentResource):
    """Routers in front of the engines of one release, by vllm-router."""

    service_name: pulumi.Output[str]
    """Name of the Service in front of the routers."""
    url: pulumi.Output[str]
    """Base URL of the release's API behind its routers inside the cluster, ending in `/v1`."""

    def __init__(self, name: str, args: ReleaseRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ReleaseRouterInputs, args, "ReleaseRouter", name)
        with raising_input_errors(f"ReleaseRouter {name!r}"):
            _refuse_reranking(inputs.task)
        super().__init__(token("ReleaseRouter"), name, {}, opts)
        object_name = router_name(inputs.model, inputs.release)
        pods = {LABEL_COMPONENT: COMPONENT_ROUTER, LABEL_MODEL: inputs.model, LABEL_RELEASE: inputs.release}
        labels = {**gateway_labels(COMPONENT_ROUTER, "vllm-router", inputs.labels), **pods, LABEL_TEAM: inputs.team}

        def metadata(annotations: dict[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
            return meta.v1.ObjectMetaArgs(
                name=object_name, namespace=inputs.namespace, labels=labels, annotations=annotations
            )

        account = core.v1.ServiceAccount(
            name, metadata=metadata(), automount_service_account_token=False, opts=child(self)
        )
        role = rbac.v1.Role(
            name,
            metadata=metadata(),
            rules=[rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=list(POD_VERBS))],
            opts=child(self),
        )
        binding = rbac.v1.RoleBinding(
            name,
            metadata=metadata(),
            role_ref=rbac.v1.RoleRefArgs(api_group=RBAC, kind="Role", name=object_name),
            subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=object_name, namespace=inputs.namespace)],
            opts=child(self, depends_on=[role]),
        )
        reaches_api_server = networking.v1.NetworkPolicy(
            name,
            metadata=metadata(),
            spec=parse_output(NetworkReach, inputs.reach or {}, f"ReleaseRouter {name!r}", "reach").apply(
                lambda reach: egress(COMPONENT_ROUTER, api_server(reach), reach.api_server_ports)
            ),
            opts=child(self),
        )
        deployment = apps.v1.Deployment(
            name,
            metadata=metadata(None if inputs.awaited else _NOT_AWAITED),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=inputs.router.replicas,
                revision_history_limit=5,
                progress_deadline_seconds=_PROGRESS_DEADLINE_SECONDS,
                selector=meta.v1.LabelSelectorArgs(match_labels=pods),
                strategy=ONE_BY_ONE,
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=labels),
                    spec=pod_spec(
                        inputs.image,
                        _command(inputs),
                        pods,
                        object_name,
                        inputs.service_class,
                        inputs.request_seconds,
                        inputs.router.cpu,
                        inputs.image_pull,
                    ),
                ),
            ),
            opts=child(self, depends_on=[account, binding, reaches_api_server]),
        )
        policy.v1.PodDisruptionBudget(name, metadata=metadata(), spec=disruption_budget(pods), opts=child(self))
        service = core.v1.Service(
            name,
            metadata=metadata(None if inputs.awaited else _NOT_AWAITED),
            spec=_service_spec(pods),
            opts=child(self, depends_on=[deployment]),
        )
        self.service_name = service.metadata.apply(lambda metadata: metadata.name or object_name)
        self.url = pulumi.Output.format("http://{0}.{1}.svc:{2}/v1", self.service_name, inputs.namespace, ROUTER_PORT)
        self.register_outputs({"serviceName": self.service_name, "url": self.url})


_NOT_AWAITED = {"pulumi.com/skipAwait": "true"}


def _command(inputs: ReleaseRouterInputs) -> pulumi.Output[list[str]]:
    engines = {LABEL_COMPONENT: COMPONENT_ENGINE, LABEL_MODEL: inputs.model, LABEL_RELEASE: inputs.release}
    command = router_command(inputs.router, inputs.router.policy_for(inputs.task), inputs.request_seconds)
    return pulumi.Output.from_input(inputs.namespace).apply(
        lambda namespace: [*command, *discovery_options(namespace, engines, inputs.engine_port)]
    )


def _service_spec(pods: dict[str, str]) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="ClusterIP",
        selector=pods,
        ports=[
            core.v1.ServicePortArgs(name=PORT_NAME, port=ROUTER_PORT, target_port=PORT_NAME, app_protocol="http"),
            core.v1.ServicePortArgs(name=METRICS_PORT_NAME, port=ROUTER_METRICS_PORT, target_port=METRICS_PORT_NAME),
        ],
    )


def _refuse_reranking(task: Task) -> None:
    if task is Task.CLASSIFY:
        reason = "vllm-router sends rerank requests on without their model, and does not understand the answers"
        raise ProblemsError([Problem("task", task.value, reason, Suggestion("the release's Service in its place"))])
