"""The whole stack on one page: settings in, components wired together, outputs out."""

import pulumi
from outputs import cost, model_outputs, releases
from platforms import bring_up

from llm_serving.arguments import plain
from llm_serving.serving import ModelLoader, ModelService, TeamNamespace
from stacks.settings.program import current_stack

stack = current_stack()
settings = stack.settings

platform = bring_up(stack)

namespaces = {
    team.name: TeamNamespace(
        team.name,
        {
            "team": plain(team),
            "gpu_quota": stack.gpu_quota(team),
            "gpu_resource": stack.gpu_resource(team),
            "reach": platform.reach,
            "labels": settings.labels,
        },
        platform.on_cluster(),
    )
    for team in settings.teams
}

weights = (
    {
        model.spec.name: ModelLoader(
            model.spec.name,
            {
                "release": plain(model.release.spec),
                "team": model.spec.team,
                "loader": plain(stack.loader),
                "namespace": namespaces[model.spec.team].namespace,
                "cache": platform.model_cache(model.spec.team, namespaces[model.spec.team]),
                "scheduling": platform.scheduling[model.spec.pool],
                "labels": settings.labels,
            },
            platform.on_cluster(depends_on=[namespaces[model.spec.team]]),
        )
        for model in stack.models
    }
    if stack.loader is not None
    else {}
)

services = {
    model.spec.name: ModelService(
        model.spec.name,
        {
            "model": plain(model.spec),
            "release": plain(model.release.spec),
            "release_hash": model.release.sha256,
            "node": plain(model.node),
            "namespace": namespaces[model.spec.team].namespace,
            "scheduling": platform.scheduling[model.spec.pool],
            "cache": platform.model_cache(model.spec.team, namespaces[model.spec.team]),
            "identity": platform.identity(model.spec),
            "labels": settings.labels,
        },
        platform.on_cluster(depends_on=[namespaces[model.spec.team], *([weights[model.spec.name]] if weights else [])]),
    )
    for model in stack.models
}

pulumi.export("fixed", stack.fixed)
for name, value in platform.outputs.items():
    pulumi.export(name, value)
pulumi.export("models", {name: model_outputs(service) for name, service in services.items()})
pulumi.export("releases", releases(stack))
pulumi.export("cost", cost(stack))
