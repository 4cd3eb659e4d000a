"""The whole stack on one page: settings in, components wired together, outputs out."""

import pulumi

from infra.arguments import (
    addon_arguments,
    compile_cache_arguments,
    model_arguments,
    monitoring_arguments,
    namespace_arguments,
)
from infra.clouds import bring_up
from infra.existing_objects import refuse_objects_in_new_namespaces
from infra.gateway import put_gateway_in_front
from infra.launcher_version import launcher_version
from infra.notes import warn_of_notes
from infra.outputs import export_outputs
from infra.queued_releases import refuse_unanswered_releases
from infra.weights import load_weights
from llm_serving.addons.cluster_addons import ClusterAddons
from llm_serving.observability import Monitoring
from llm_serving.planning.replicas import object_name
from llm_serving.serving import CompileCache, ModelService, PriorityClasses, TeamNamespace
from llm_serving.spec import AddonSource
from stacks.settings.program import current_stack

stack = current_stack()
settings = stack.settings

warn_of_notes(stack)
refuse_objects_in_new_namespaces(stack)
refuse_unanswered_releases(stack)
platform = bring_up(stack)
launcher = launcher_version(stack)

addons = ClusterAddons("addons", addon_arguments(stack), platform.on_cluster())

shared: list[pulumi.Resource] = [addons]
if settings.addons.priority_classes is AddonSource.INSTALL:
    shared.append(PriorityClasses("priorities", {"labels": settings.labels}, platform.on_cluster()))

namespaces = {
    team.name: TeamNamespace(
        team.name, namespace_arguments(stack, platform, team), platform.on_cluster(depends_on=[*shared])
    )
    for team in settings.teams
}

weights = load_weights(stack, platform, namespaces)

compile_caches = {
    model.spec.name: [
        CompileCache(
            object_name(model.spec.name, served.release.spec.version),
            compile_cache_arguments(stack, platform, model, served, namespaces[model.spec.team], launcher),
            platform.on_cluster(depends_on=[namespaces[model.spec.team], *weights[model.spec.name]]),
        )
        for served in model.releases
        if model.spec.compile_cache
    ]
    for model in stack.models
}

services = {
    model.spec.name: ModelService(
        model.spec.name,
        model_arguments(stack, platform, model, namespaces[model.spec.team], launcher, addons.prometheus_url),
        platform.on_cluster(
            depends_on=[namespaces[model.spec.team], *weights[model.spec.name], *compile_caches[model.spec.name]]
        ),
    )
    for model in stack.models
}

front_door = put_gateway_in_front(stack, platform, namespaces, services, shared)

if stack.scales and stack.models:  # there is a Prometheus
    parents = [addons, *namespaces.values()]
    Monitoring("monitoring", monitoring_arguments(stack), platform.on_cluster(depends_on=parents))

export_outputs(stack, platform.outputs, launcher, services, front_door)
