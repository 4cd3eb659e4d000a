"""Pods that hold nodes ready for a model's next instances.

Each requests what an instance requests and does nothing. An instance that finds no room takes a placeholder's at once,
and the placeholder, which waits then, makes the cluster's autoscaler bring the next node.

Owns the Deployment of placeholders. Leaves alone how many there are (settings) and their priority (``priorities``).
"""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import apps, core, meta

from llm_serving.contract import LABEL_MODEL, ModelCacheVolume, PoolScheduling
from llm_serving.planning.placement import ModelPlan
from llm_serving.planning.replicas import placeholder_name
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.labels import COMPONENT_PLACEHOLDER, LABEL_COMPONENT, model_labels
from llm_serving.serving.pod import RESTRICTED, PodContext, restricted_pod, storage_request, tolerations
from llm_serving.serving.priorities import PLACEHOLDER
from llm_serving.serving.quantities import cores, gibibytes
from llm_serving.spec import ImagePullSpec, ModelSpec


def placeholder_deployment(
    model: ModelSpec,
    context: PodContext,
    namespace: pulumi.Input[str],
    labels: Mapping[str, str],
    image: str,
    image_pull: ImagePullSpec | None = None,
) -> apps.v1.DeploymentInitArgs:
    """The Deployment ``<model>-placeholder``: room for as many instances as the model's warm pool holds.

    Args:
        model: the model as its stack sets it.
        context: that of the stable release's pods, whose size the placeholders have.
        namespace: the team's namespace.
        labels: labels that the user adds.
        image: image of a program that waits.
        image_pull: credentials for its registry.
    """
    selector = {LABEL_COMPONENT: COMPONENT_PLACEHOLDER, LABEL_MODEL: model.name}
    pod_labels = {**model_labels(model, labels), **selector}
    resources = pulumi.Output.all(context.scheduling, context.model_plan, context.cache).apply(
        lambda outputs: _resources(*outputs)
    )
    return apps.v1.DeploymentInitArgs(
        metadata=meta.v1.ObjectMetaArgs(
            name=placeholder_name(model.name),
            namespace=namespace,
            labels=pod_labels,
            # One that gave way waits until there is a node again: nothing to wait for, and no failure.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=apps.v1.DeploymentSpecArgs(
            # An instance of several nodes has a pod on each.
            replicas=model.warm_pool.placeholders * model.engine.nodes,
            revision_history_limit=0,
            selector=meta.v1.LabelSelectorArgs(match_labels=selector),
            # The old ones go first: both together would ask for nodes that nobody needs.
            strategy=apps.v1.DeploymentStrategyArgs(type="Recreate"),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=pod_labels),
                spec=core.v1.PodSpecArgs(
                    priority_class_name=PLACEHOLDER,
                    image_pull_secrets=pull_references(image_pull),
                    # It gives way at once, so that the instance in its place need not wait.
                    termination_grace_period_seconds=0,
                    automount_service_account_token=False,
                    enable_service_links=False,
                    node_selector=context.scheduling.apply(lambda scheduling: scheduling.node_selector),
                    tolerations=context.scheduling.apply(tolerations),
                    security_context=restricted_pod(),
                    containers=[
                        core.v1.ContainerArgs(
                            name="placeholder",
                            image=image,
                            image_pull_policy="IfNotPresent",
                            resources=resources,
                            security_context=RESTRICTED,
                        )
                    ],
                ),
            ),
        ),
    )


def _resources(
    scheduling: PoolScheduling, plan: ModelPlan, cache: ModelCacheVolume
) -> core.v1.ResourceRequirementsArgs:
    """What an instance's pod requests on one node, its volume's sidecar included."""
    memory = gibibytes(plan.memory_gib + cache.sidecar_memory_gib)
    gpus = {} if scheduling.gpu_resource is None else {scheduling.gpu_resource: str(plan.gpus_per_node)}
    return core.v1.ResourceRequirementsArgs(
        requests={
            "cpu": cores(plan.cpu + cache.sidecar_cpu),
            "memory": memory,
            **storage_request(plan.image_gib + plan.cached_gib),
            **gpus,
        },
        limits={"memory": memory, **gpus},
    )
