"""A team's namespace on a shared cluster: what pods may do, who may reach them, how many GPUs they may ask for, who may
look and change.

Leaves alone: the members of the groups, whom the cloud knows.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apiextensions, core, meta, networking, rbac

from llm_serving.component import Frozen, child, parse_output, raising_input_errors, token, validated
from llm_serving.contract import NetworkReach, WorkloadIdentityBinding
from llm_serving.serving import launcher
from llm_serving.serving.arguments import EgressArgs, ImagePullArgs, PrometheusAuthArgs, TeamArgs
from llm_serving.serving.egress import certificates
from llm_serving.serving.engines import engine
from llm_serving.serving.gateway_access import GatewayAccess
from llm_serving.serving.image_pull import check_password, pull_secret
from llm_serving.serving.labels import COMPONENT_ROUTER, team_labels
from llm_serving.serving.monitoring import METRICS_PORT_NAME, pod_monitor
from llm_serving.serving.network_policies import INTERNET as ANYWHERE
from llm_serving.serving.network_policies import NAMESPACE_NAME, network_policies
from llm_serving.serving.prometheus_auth import check_credential, trigger_authentication
from llm_serving.serving.roles import RBAC, Rule, editor_rules, viewer_rules
from llm_serving.spec import EgressSpec, EngineName, ImagePullSpec, PrometheusAuthSpec, TeamSpec
from llm_serving.spec.loader import HUB_TOKEN_SECRET, TOKEN_KEY
from llm_serving.spec.names import Count, ModelName, NamespaceName

POD_SECURITY = "restricted"
POD_SECURITY_VERSION = "v1.34"
"""Pinned, so that an upgrade of the cluster never refuses pods that ran before it."""

DEFAULT_REQUESTS = {"cpu": "100m", "memory": "256Mi"}
DEFAULT_LIMITS = {"memory": "1Gi"}
"""For containers that say nothing. No CPU limit: a default one would throttle containers that only request cores."""


class TeamNamespaceArgs(TypedDict):
    """Arguments of `TeamNamespace`."""

    team: TeamArgs
    """The team."""
    gpu_quota: int
    """Most GPUs that all pods of the namespace may ask for together."""
    gpu_resource: NotRequired[str]
    """Extended resource that stands for a GPU; `nvidia.com/gpu` by default."""
    reach: NotRequired[pulumi.Input[dict[str, Any]]]
    """Addresses from which clients come: output `reach` of a network or cluster. Left out: only pods of the namespace
    reach each other."""
    monitored: NotRequired[bool]
    """Have Prometheus scrape the team's engines; its operator must be there."""
    monitoring_namespace: NotRequired[str]
    """Namespace of that Prometheus; `monitoring` by default."""
    from_internet: NotRequired[bool]
    """Loaders of the team's models reach the internet: the Hugging Face hub, or the store of another cloud."""
    loader_identity: NotRequired[pulumi.Input[dict[str, Any]]]
    """Who the loaders of the team's models are, where they write a bucket: output `binding` of a workload identity."""
    hub_token: NotRequired[pulumi.Input[str]]
    """Token of the Hugging Face hub, for gated models. The Secret `llm-serving-hub-token` is made of it, for a loader
    whose `tokenSecret` names it."""
    prometheus_auth: NotRequired[PrometheusAuthArgs]
    """How KEDA proves to Prometheus who it is; KEDA must be there."""
    prometheus_credential: NotRequired[pulumi.Input[str]]
    """Token or password for `prometheusAuth`."""
    egress: NotRequired[EgressArgs]
    """The way out that the site prescribes. A ConfigMap is made where it holds certificates."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images. A Secret is made where it names a registry."""
    image_pull_password: NotRequired[pulumi.Input[str]]
    """Password of `imagePull.username`."""
    gateway_namespace: NotRequired[str]
    """Namespace of the gateway in front of the team's models, which is then the only way to them. Left out: pods of the
    namespace, and `gatewaySources` of `reach`, ask engines themselves."""
    gateway_direct_models: NotRequired[list[str]]
    """Models whose engines the gateway's proxy asks itself; a router stands before those of all others."""
    labels: NotRequired[dict[str, str]]
    """More labels for the namespace and its objects."""


class TeamNamespaceInputs(Frozen):
    """Arguments of :class:`TeamNamespace`, validated."""

    team: TeamSpec
    gpu_quota: Count
    gpu_resource: str = "nvidia.com/gpu"
    reach: Any = None
    monitored: bool = False
    monitoring_namespace: NamespaceName = "monitoring"
    from_internet: bool = False
    loader_identity: Any = None
    hub_token: Any = None
    prometheus_auth: PrometheusAuthSpec | None = None
    prometheus_credential: Any = None
    egress: EgressSpec | None = None
    image_pull: ImagePullSpec | None = None
    image_pull_password: Any = None
    gateway_namespace: NamespaceName | None = None
    gateway_direct_models: tuple[ModelName, ...] = ()
    labels: dict[str, str] = {}


class TeamNamespace(pulumi.ComponentResource):
    """A namespace for one team."""

    namespace: pulumi.Output[str]
    """Name of the namespace."""

    def __init__(self, name: str, args: TeamNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(TeamNamespaceInputs, args, "TeamNamespace", name)
        source = f"TeamNamespace {name!r}"
        with raising_input_errors(source):
            check_password(inputs.image_pull, inputs.image_pull_password)
            check_credential(inputs.prometheus_auth, inputs.prometheus_credential)
        super().__init__(token("TeamNamespace"), name, {}, opts)
        team = inputs.team
        labels = team_labels(team.name, inputs.labels)

        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=team.name, labels={**labels, **pod_security()}),
            opts=child(self),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: metadata.name or team.name)

        def metadata(object_name: str) -> meta.v1.ObjectMetaArgs:
            return meta.v1.ObjectMetaArgs(name=object_name, namespace=self.namespace, labels=labels)

        quota = core.v1.ResourceQuota(
            f"{name}-gpus",
            metadata=metadata("gpus"),
            # Extended resources are counted by their requests only.
            spec=core.v1.ResourceQuotaSpecArgs(hard={f"requests.{inputs.gpu_resource}": str(inputs.gpu_quota)}),
            opts=child(self),
        )
        core.v1.LimitRange(
            f"{name}-defaults",
            metadata=metadata("defaults"),
            spec=core.v1.LimitRangeSpecArgs(
                limits=[
                    core.v1.LimitRangeItemArgs(
                        type="Container", default_request=DEFAULT_REQUESTS, default=DEFAULT_LIMITS
                    )
                ]
            ),
            opts=child(self),
        )
        reach = parse_output(NetworkReach, inputs.reach or {}, source, "reach")
        # Which of them there are is known at preview; whom they name may not be.
        for policy in sorted(_policies(inputs, _EVERYTHING)):
            networking.v1.NetworkPolicy(
                f"{name}-{policy}",
                metadata=metadata(policy),
                spec=reach.apply(lambda reach, policy=policy: _policies(inputs, reach).get(policy, _NOTHING)),
                opts=child(self),
            )
        # Kubernetes makes this account with every namespace, and the provider refuses to create what is there. Both it
        # and the quota's count come from the controller manager: once the quota is counted, the account is there. The
        # patch ends with the namespace: taken back alone, pods would get tokens again.
        core.v1.ServiceAccountPatch(
            f"{name}-default",
            metadata=meta.v1.ObjectMetaPatchArgs(name="default", namespace=self.namespace),
            automount_service_account_token=False,
            opts=child(self, depends_on=[quota], deleted_with=namespace),
        )
        certificates(self, f"{name}-certificates", self.namespace, inputs.egress, labels)
        pull_secret(self, f"{name}-image-pull", self.namespace, inputs.image_pull, inputs.image_pull_password, labels)
        trigger_authentication(
            self,
            f"{name}-prometheus",
            self.namespace,
            inputs.prometheus_auth,
            inputs.prometheus_credential,
            labels,
        )
        monitors = {"metrics": pod_monitor(team.name)} if inputs.monitored else {}
        if inputs.monitored and inputs.gateway_namespace is not None:
            monitors["routers"] = pod_monitor(team.name, ports=(METRICS_PORT_NAME,), component=COMPONENT_ROUTER)
        for end, manifest in monitors.items():
            apiextensions.CustomResource(
                f"{name}-{end}",
                api_version=manifest["apiVersion"],
                kind=manifest["kind"],
                metadata=metadata(manifest["metadata"]["name"]),
                spec=manifest["spec"],
                opts=child(self),
            )
        if inputs.loader_identity is not None:
            loader = parse_output(WorkloadIdentityBinding, inputs.loader_identity, source, "loaderIdentity")
            core.v1.ServiceAccount(
                f"{name}-loader",
                metadata=meta.v1.ObjectMetaArgs(
                    name=loader.apply(lambda identity: identity.service_account),
                    namespace=self.namespace,
                    labels=labels,
                    annotations=loader.apply(lambda identity: identity.annotations),
                ),
                automount_service_account_token=False,
                opts=child(self),
            )
        if inputs.hub_token is not None:
            core.v1.Secret(
                f"{name}-hub-token",
                metadata=metadata(HUB_TOKEN_SECRET),
                string_data={TOKEN_KEY: pulumi.Output.secret(inputs.hub_token)},
                opts=child(self),
            )
        for role, rules, groups in (
            ("viewer", viewer_rules(), team.viewers),
            ("editor", editor_rules(team.editors_exec), team.editors),
        ):
            role_object = rbac.v1.Role(
                f"{name}-{role}", metadata=metadata(role), rules=_policy_rules(rules), opts=child(self)
            )
            if groups:
                rbac.v1.RoleBinding(
                    f"{name}-{role}s",
                    metadata=metadata(f"{role}s"),
                    role_ref=rbac.v1.RoleRefArgs(api_group=RBAC, kind="Role", name=role),
                    subjects=[rbac.v1.SubjectArgs(api_group=RBAC, kind="Group", name=group) for group in groups],
                    opts=child(self, depends_on=[role_object]),
                )
        self.register_outputs({"namespace": self.namespace})


_EVERYTHING = NetworkReach(identity_egress=(ANYWHERE,), storage_egress=(ANYWHERE,))
_NOTHING = networking.v1.NetworkPolicySpecArgs(
    pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Egress"], egress=[]
)
"""A policy that allows nothing: where a place has no ranges to allow."""


def _policies(inputs: TeamNamespaceInputs, reach: NetworkReach) -> dict[str, networking.v1.NetworkPolicySpecArgs]:
    serving = sorted({engine(name).port for name in EngineName})
    return network_policies(
        reach,
        serving_ports=serving,
        metrics_ports=sorted({*serving, launcher.PORT}),
        monitoring={NAMESPACE_NAME: inputs.monitoring_namespace},
        from_internet=inputs.from_internet,
        way_out=None if inputs.egress is None else (inputs.egress.ranges, inputs.egress.ports),
        gateway=(
            None
            if inputs.gateway_namespace is None
            else GatewayAccess(inputs.gateway_namespace, inputs.gateway_direct_models)
        ),
        client_namespaces=inputs.team.client_namespaces,
    )


def pod_security() -> dict[str, str]:
    """Labels of a namespace that enforces Pod Security "restricted"."""
    modes: dict[str, str] = {}
    for mode in ("enforce", "audit", "warn"):
        modes[f"pod-security.kubernetes.io/{mode}"] = POD_SECURITY
        modes[f"pod-security.kubernetes.io/{mode}-version"] = POD_SECURITY_VERSION
    return modes


def _policy_rules(rules: tuple[Rule, ...]) -> list[rbac.v1.PolicyRuleArgs]:
    return [
        rbac.v1.PolicyRuleArgs(api_groups=[rule.group], resources=list(rule.resources), verbs=list(rule.verbs))
        for rule in rules
    ]
