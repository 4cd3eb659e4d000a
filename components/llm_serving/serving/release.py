"""The objects of one release of a model: workloads, disruption budget, Service, autoscaling.

Each release has its own, so that moving a name from one to another (canary to stable, stable to previous) starts and
stops nothing. Leaves alone: what all releases of a model share, and every decision.
"""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, apps, core, meta, networking, policy

from llm_serving.component import child
from llm_serving.contract import SHARE_BASE
from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.workload import ReleaseWorkload, WorkloadKind
from llm_serving.planning.replicas import ReleaseReplicas
from llm_serving.serving import multi_node
from llm_serving.serving.disruption import disruption_budget
from llm_serving.serving.labels import ANNOTATION_RELEASE_HASH, SHARE_MAIN, release_labels, selector
from llm_serving.serving.network_policies import group_policy
from llm_serving.serving.pod import PORT_NAME, PodContext, ReleasePlan, pod_template, worker_command
from llm_serving.serving.scaled_object import API_VERSION as SCALED_OBJECT_VERSION
from llm_serving.serving.scaled_object import KIND as SCALED_OBJECT
from llm_serving.serving.scaled_object import PrometheusServer, scaled_object
from llm_serving.serving.scaling_queries import asked_query, scaling_queries
from llm_serving.spec import AutoscalingSpec

FORCE = {"pulumi.com/patchForce": "true"}
"""Where the program says how many, it takes the number back from an autoscaler that had it before; without this, the
provider stops at the conflict (pulumi-kubernetes#2569)."""


Workload = apps.v1.Deployment | apiextensions.CustomResource
"""What holds instances: a Deployment, or a LeaderWorkerSet where an instance has several nodes."""


@dataclass(frozen=True)
class ReleaseObjects:
    """What the rest of a model's objects need of a release.

    Attributes:
        workloads: its Deployments or LeaderWorkerSets; their creation ends when the release answers.
        service: its own Service.
    """

    workloads: tuple[Workload, ...]
    service: core.v1.Service


def serve_release(
    parent: pulumi.Resource,
    plan: ReleasePlan,
    context: PodContext,
    namespace: pulumi.Input[str],
    after: list[pulumi.Resource],
    prometheus: PrometheusServer | None = None,
) -> ReleaseObjects:
    """Register the objects of one release.

    Args:
        parent: the component that they belong to.
        plan: what is decided about its instances.
        context: what pool, model cache and identity add.
        namespace: the team's namespace.
        after: resources that its pods need.
        prometheus: where the queries of autoscaling are answered.
    """
    name, model, version = plan.replicas.name, plan.model, plan.release.version
    labels = release_labels(model, plan.release, plan.labels)

    def metadata(suffix: str = "", annotations: dict[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(
            name=f"{name}{suffix}", namespace=namespace, labels=labels, annotations=annotations
        )

    def group(share: _Share, earlier: list[Workload]) -> apiextensions.CustomResource:
        template = pod_template(plan, context, share.name)
        outlasts = context.drain[share.name].apply(lambda drain: drain.pre_stop + drain.shutdown_timeout)
        spec = multi_node.group_spec(
            multi_node.leader(template),
            multi_node.worker(template, worker_command(plan, context), outlasts),
            nodes=plan.model_plan.nodes,
            replicas=share.replicas,
            rollout=plan.rollout,
        )
        return multi_node.leader_worker_set(
            parent,
            f"{name}{share.suffix}",
            metadata(share.suffix, _annotations(plan, share)),
            spec,
            plan.rollout,
            after=[*after, *earlier],
            scaled=share.scaled,
        )

    def deployment(share: _Share, earlier: list[Workload]) -> apps.v1.Deployment:
        rollout = plan.rollout
        return apps.v1.Deployment(
            f"{name}{share.suffix}",
            metadata=metadata(share.suffix, {**_annotations(plan, share), **(await_annotations(plan) or {})}),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=share.replicas,
                revision_history_limit=5,
                progress_deadline_seconds=rollout.progress_deadline_seconds,
                selector=meta.v1.LabelSelectorArgs(match_labels=selector(model, version, share.name)),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=rollout.max_surge, max_unavailable=rollout.max_unavailable
                    ),
                ),
                template=pod_template(plan, context, share.name),
            ),
            opts=child(
                parent,
                depends_on=[*after, *earlier],
                custom_timeouts=pulumi.CustomTimeouts(create=f"{rollout.create}s", update=f"{rollout.update}s"),
                # What is new starts with as many as the program says; from then on the autoscaler owns the number.
                ignore_changes=["spec.replicas"] if share.scaled else [],
            ),
        )

    register = group if plan.model_plan.nodes > 1 else deployment
    workloads: list[Workload] = []
    for share in _shares(plan.replicas):
        # One after the other: a rollout takes an instance of one share at a time, not of each.
        workloads.append(register(share, list(workloads)))
    policy.v1.PodDisruptionBudget(
        name,
        metadata=metadata(),
        spec=disruption_budget(selector(model, version)),
        opts=child(parent),
    )
    if plan.model_plan.nodes > 1:
        networking.v1.NetworkPolicy(
            name, metadata=metadata(), spec=group_policy(selector(model, version)), opts=child(parent)
        )
    service = core.v1.Service(
        name,
        metadata=metadata(annotations=await_annotations_of_service(plan)),
        spec=service_spec(plan),
        # The provider waits ten minutes for endpoints, a model may take longer: the Deployments wait for it.
        opts=child(parent, depends_on=workloads),
    )
    if plan.replicas.autoscaling is not None and prometheus is not None:
        _scale(parent, plan, plan.replicas.autoscaling, metadata(), prometheus, workloads)
    return ReleaseObjects(tuple(workloads), service)


def _scale(
    parent: pulumi.Resource,
    plan: ReleasePlan,
    bounds: AutoscalingSpec,
    metadata: meta.v1.ObjectMetaArgs,
    prometheus: PrometheusServer,
    workloads: list[Workload],
) -> None:
    """After the workloads: they keep the number that they have until it takes over."""

    def spec(namespace: str) -> dict[str, Any]:
        replicas = plan.replicas
        kind = WorkloadKind.LEADER_WORKER_SET if plan.model_plan.nodes > 1 else WorkloadKind.DEPLOYMENT
        workload = ReleaseWorkload(namespace, replicas.name, plan.model.name, replicas.version, replicas.base, kind)
        asked = None
        if bounds.may_sleep:
            assert plan.gateway_namespace is not None, "refused before: nobody would wake it"
            asked = asked_query(plan.model.name, plan.gateway_namespace, bounds.polling_seconds)
        queries = scaling_queries(engine_metrics(plan.engine.name), workload)
        return scaled_object(workload, bounds, queries, prometheus, asked=asked)["spec"]

    apiextensions.CustomResource(
        plan.replicas.name,
        api_version=SCALED_OBJECT_VERSION,
        kind=SCALED_OBJECT,
        metadata=metadata,
        spec=pulumi.Output.from_input(metadata.namespace).apply(lambda namespace: spec(namespace or "")),
        opts=child(parent, depends_on=workloads),
    )


def await_annotations(plan: ReleasePlan) -> dict[str, str] | None:
    """What keeps the provider from waiting for a release's instances; ``None`` where it waits."""
    return None if plan.rollout.awaited else _NOT_AWAITED


def await_annotations_of_service(plan: ReleasePlan) -> dict[str, str] | None:
    """The same for the Services in front of them, which have no endpoints before, nor while their model sleeps."""
    return _NOT_AWAITED if plan.model.may_sleep else await_annotations(plan)


_NOT_AWAITED = {"pulumi.com/skipAwait": "true"}


def service_spec(plan: ReleasePlan) -> core.v1.ServiceSpecArgs:
    """A Service in front of all instances of a release."""
    pods = selector(plan.model, plan.release.version)
    return core.v1.ServiceSpecArgs(
        type="ClusterIP",
        selector=multi_node.leaders(pods) if plan.model_plan.nodes > 1 else pods,
        ports=[
            core.v1.ServicePortArgs(name=PORT_NAME, port=plan.engine.port, target_port=PORT_NAME, app_protocol="http")
        ],
    )


@dataclass(frozen=True)
class _Share:
    """ReleaseReplicas of a release on one kind of capacity.

    Attributes:
        name: value of the label that tells shares apart.
        suffix: behind the name of the release's objects.
        replicas: instances, or those to start with.
        scaled: an autoscaler says how many.
    """

    name: str
    suffix: str
    replicas: int
    scaled: bool


def workload_name(count: ReleaseReplicas) -> str:
    """Name of the workload with most of a release's instances: there is none but the base where the base is all."""
    return f"{count.name}{_shares(count)[-1].suffix}"


def _shares(count: ReleaseReplicas) -> list[_Share]:
    """The base first: it answers when nothing else does."""
    scaled, rest = count.autoscaling is not None, count.replicas - count.base
    base = [_Share(SHARE_BASE, f"-{SHARE_BASE}", count.base, scaled=False)] if count.base else []
    main = [_Share(SHARE_MAIN, "", rest, scaled)] if scaled or rest or not base else []
    return [*base, *main]


def _annotations(plan: ReleasePlan, share: _Share) -> dict[str, str]:
    return {ANNOTATION_RELEASE_HASH: plan.release_hash, **({} if share.scaled else FORCE)}
