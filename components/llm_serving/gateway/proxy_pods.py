"""The pods of the proxy, and what they may read of the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta, policy, rbac

from llm_serving.component import child
from llm_serving.gateway import traefik
from llm_serving.gateway.names import MODELS_PORT, PROXY, PROXY_METRICS_PORT
from llm_serving.gateway.pods import LONGEST_GRACE_SECONDS, ONE_BY_ONE, http_probe
from llm_serving.serving.disruption import disruption_budget, spread
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.labels import COMPONENT_GATEWAY_PROXY, LABEL_COMPONENT
from llm_serving.serving.pod import RESTRICTED, restricted_pod
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores
from llm_serving.serving.roles import RBAC
from llm_serving.spec import ImagePullSpec, ServiceClass, Toleration

_SELECTOR = {LABEL_COMPONENT: COMPONENT_GATEWAY_PROXY}
_END_SECONDS = 5
_MEMORY = {"request": "256Mi", "limit": "512Mi", "go": "450MiB"}
"""105 MB resident with a few routes; bodies and answers pass through without being kept."""


@dataclass(frozen=True)
class ProxyPods:
    """What is decided about them.

    Attributes:
        namespace: theirs.
        team_namespaces: namespaces whose routes they serve beside their own, by name.
        image: Traefik.
        replicas: how many.
        cpu: cores that one requests.
        edge: the listener of clients; ``None`` where somebody else has it.
        longest_request_seconds: how long an answer may take.
        node_selector: labels of their nodes.
        tolerations: taints of their nodes.
        image_pull: credentials for the registry of the image.
        cluster_role: name of the ClusterRole.
        labels: labels of every object.
    """

    namespace: pulumi.Input[str]
    team_namespaces: Mapping[str, pulumi.Input[str]]
    image: str
    replicas: int
    cpu: float
    edge: traefik.EdgeListener | None
    longest_request_seconds: int
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    image_pull: ImagePullSpec | None
    cluster_role: str
    labels: dict[str, str]


def register_pods(
    parent: pulumi.Resource, name: str, pods: ProxyPods, after: Sequence[pulumi.Resource]
) -> apps.v1.Deployment:
    """Register the Deployment with all that it needs."""
    metadata = meta.v1.ObjectMetaArgs(name=PROXY, namespace=pods.namespace, labels=pods.labels)
    account = core.v1.ServiceAccount(name, metadata=metadata, automount_service_account_token=False, opts=child(parent))
    roles = _register_roles(parent, name, pods)
    files = None
    if pods.edge is not None:
        # No name of its own: other data is another ConfigMap, and with it other pods.
        files = core.v1.ConfigMap(
            f"{name}-middlewares",
            metadata=meta.v1.ObjectMetaArgs(namespace=pods.namespace, labels=pods.labels),
            data={traefik.MIDDLEWARES_FILE: traefik.middlewares(pods.edge)},
            immutable=True,
            opts=child(parent),
        )
    policy.v1.PodDisruptionBudget(name, metadata=metadata, spec=disruption_budget(_SELECTOR), opts=child(parent))
    return apps.v1.Deployment(
        name,
        metadata=metadata,
        spec=apps.v1.DeploymentSpecArgs(
            replicas=pods.replicas,
            revision_history_limit=5,
            selector=meta.v1.LabelSelectorArgs(match_labels=_SELECTOR),
            strategy=ONE_BY_ONE,
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels={**pods.labels, **_SELECTOR}), spec=_pod(pods, files)
            ),
        ),
        # Without one of its rights it serves no route at all.
        opts=child(parent, depends_on=[account, *roles, *after]),
    )


def _pod(pods: ProxyPods, files: core.v1.ConfigMap | None) -> core.v1.PodSpecArgs:
    ports = {
        **({} if pods.edge is None else pods.edge.ports),
        "models": MODELS_PORT,
        "metrics": PROXY_METRICS_PORT,
    }
    mounts, volumes = [], []
    if files is not None:
        mounts = [core.v1.VolumeMountArgs(name="files", mount_path=traefik.MIDDLEWARES_FOLDER, read_only=True)]
        volumes = [
            core.v1.VolumeArgs(name="files", config_map=core.v1.ConfigMapVolumeSourceArgs(name=files.metadata.name))
        ]
    return core.v1.PodSpecArgs(
        service_account_name=PROXY,
        automount_service_account_token=True,
        enable_service_links=False,
        image_pull_secrets=pull_references(pods.image_pull),
        # Every request of every model passes it: it gives way to none of them.
        priority_class_name=priority_class(ServiceClass.CRITICAL),
        termination_grace_period_seconds=min(
            LONGEST_GRACE_SECONDS, traefik.ACCEPT_SECONDS + pods.longest_request_seconds + _END_SECONDS
        ),
        node_selector=pods.node_selector or None,
        tolerations=[core.v1.TolerationArgs(**one.model_dump(exclude_none=True)) for one in pods.tolerations] or None,
        topology_spread_constraints=spread(_SELECTOR),
        security_context=restricted_pod(),
        containers=[
            core.v1.ContainerArgs(
                name=PROXY,
                image=pods.image,
                image_pull_policy="IfNotPresent",
                args=pulumi.Output.from_input(pods.namespace).apply(
                    lambda own: traefik.arguments(
                        pods.edge, own, sorted(pods.team_namespaces), pods.longest_request_seconds
                    )
                ),
                # The collector works harder before the kernel ends the program.
                env=[core.v1.EnvVarArgs(name="GOMEMLIMIT", value=_MEMORY["go"])],
                ports=[core.v1.ContainerPortArgs(name=key, container_port=port) for key, port in ports.items()],
                # No CPU limit: a throttled proxy slows all models.
                resources=core.v1.ResourceRequirementsArgs(
                    requests={"cpu": cores(pods.cpu), "memory": _MEMORY["request"]}, limits={"memory": _MEMORY["limit"]}
                ),
                security_context=RESTRICTED,
                # By a route: one that has not read the cluster, for want of a right or of a definition, answers
                # nothing else either, and its own `ping` does not tell.
                readiness_probe=http_probe(traefik.PING_PATH, MODELS_PORT, 3, 3),
                liveness_probe=http_probe(traefik.PING_PATH, PROXY_METRICS_PORT, 10, 3),
                volume_mounts=mounts,
            )
        ],
        volumes=volumes,
    )


def _register_roles(parent: pulumi.Resource, name: str, pods: ProxyPods) -> list[pulumi.Resource]:
    """A ClusterRole for the few cluster-wide kinds, and a Role in each namespace that is watched: its Secrets are those
    of these namespaces alone."""
    subjects = [rbac.v1.SubjectArgs(kind="ServiceAccount", name=PROXY, namespace=pods.namespace)]
    cluster = meta.v1.ObjectMetaArgs(name=pods.cluster_role, labels=pods.labels)
    registered: list[pulumi.Resource] = [
        rbac.v1.ClusterRole(name, metadata=cluster, rules=_rules(traefik.CLUSTER_PERMISSIONS), opts=child(parent)),
        rbac.v1.ClusterRoleBinding(
            name,
            metadata=cluster,
            role_ref=rbac.v1.RoleRefArgs(api_group=RBAC, kind="ClusterRole", name=pods.cluster_role),
            subjects=subjects,
            opts=child(parent),
        ),
    ]
    watched = {"own": pods.namespace, **{f"team-{team}": space for team, space in pods.team_namespaces.items()}}
    for key, namespace in watched.items():
        own = meta.v1.ObjectMetaArgs(name=pods.cluster_role, namespace=namespace, labels=pods.labels)
        registered += [
            rbac.v1.Role(
                f"{name}-{key}", metadata=own, rules=_rules(traefik.NAMESPACE_PERMISSIONS), opts=child(parent)
            ),
            rbac.v1.RoleBinding(
                f"{name}-{key}",
                metadata=own,
                role_ref=rbac.v1.RoleRefArgs(api_group=RBAC, kind="Role", name=pods.cluster_role),
                subjects=subjects,
                opts=child(parent),
            ),
        ]
    return registered


def _rules(permissions: Sequence[traefik.Permission]) -> list[rbac.v1.PolicyRuleArgs]:
    return [
        rbac.v1.PolicyRuleArgs(api_groups=[one.group], resources=list(one.resources), verbs=list(one.verbs))
        for one in permissions
    ]
