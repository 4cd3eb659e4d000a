"""The weights of every release in the model cache: those that are loaded, and those that are quantized here.

What a Job quantizes is loaded before it, and what a release has of its result after it.
"""

from collections.abc import Mapping

import pulumi

from infra.arguments import loader_arguments, quantization_arguments
from infra.clouds import Platform
from llm_serving.planning.replicas import object_name
from llm_serving.serving import ModelLoader, QuantizationJob, TeamNamespace
from stacks.settings import Stack, WantedWeights


def load_weights(
    stack: Stack, platform: Platform, namespaces: Mapping[str, TeamNamespace]
) -> dict[str, list[pulumi.Resource]]:
    """Make the Jobs; of each model those that its releases wait for. There are none where somebody else brings the
    weights."""
    of_model: dict[str, list[pulumi.Resource]] = {model.spec.name: [] for model in stack.models}
    loader = stack.settings.loader
    if loader is None:
        return of_model
    loaded: dict[tuple[str, str], ModelLoader] = {}

    def load(wanted: WantedWeights, after: list[pulumi.Resource]) -> None:
        namespace = namespaces[wanted.team]
        loaded[wanted.key] = ModelLoader(
            object_name(*wanted.key),
            loader_arguments(stack, platform, wanted, loader, namespace),
            platform.on_cluster(depends_on=[namespace, *after]),
        )

    for wanted in stack.wanted_weights:
        if wanted.made_by is None:
            load(wanted, [])
    jobs = {
        job.spec.name: QuantizationJob(
            job.spec.name,
            quantization_arguments(stack, platform, job, loader, namespaces[job.spec.team]),
            platform.on_cluster(depends_on=[namespaces[job.spec.team], loaded[job.base_key]]),
        )
        for job in stack.quantizations
    }
    for wanted in stack.wanted_weights:
        if wanted.made_by is not None:
            load(wanted, [jobs[wanted.made_by]])
    for model in stack.models:
        releases = [(model.spec.name, served.release.spec.version) for served in model.releases]
        of_model[model.spec.name] = [loaded[release] for release in releases]
    return of_model
