"""Hosted providers: each once, for teams whose requests may leave the cluster, with a budget that is counted."""

from collections.abc import Iterator
from typing import Any

from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion, nearest_or_few
from llm_serving.planning.rules.gateway.unique import check_unique
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, HostedProviderSpec


def check_hosted(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.hosted``."""
    yield from check_unique("hosted", [provider.name for provider in gateway.hosted])
    for index, provider in enumerate(gateway.hosted):
        path = f"hosted[{index}]"
        yield from (problem.under(path) for problem in _teams(stack, provider))
        yield from (problem.under(path) for problem in _models(stack, provider))
        if gateway.redis.limits is None:
            reason = "what is spent is counted in redis.limits, and there is none: it would be forgotten"
            kept: dict[str, Any] = {"/gateway.redis.limits": {}}
            yield Problem(f"{path}.budget", None, reason, Suggestion("redis.limits: {}", edits=[kept]))


def _teams(stack: StackShape, provider: HostedProviderSpec) -> Iterator[Problem]:
    teams = {team.name: team for team in stack.teams}
    for number, name in enumerate(provider.teams):
        path = f"teams[{number}]"
        # To leave out the only one would be to leave out the provider.
        remove = LEAVE_OUT if len(provider.teams) > 1 else Suggestion("a team that lets them", needs=Needs.CHOICE)
        if name in provider.teams[:number]:
            yield Problem(path, name, "is named already", LEAVE_OUT)
        elif name not in teams:
            allowed = [each.name for each in stack.teams if not each.stays_in_cluster]
            yield Problem(path, name, "no such team", nearest_or_few(name, allowed) or remove)
        elif teams[name].stays_in_cluster:
            reason = "its requests never leave the cluster (teams[].staysInCluster)"
            yield Problem(path, name, reason, remove)


def _models(stack: StackShape, provider: HostedProviderSpec) -> Iterator[Problem]:
    served = [model.name for model in stack.models]
    stood_in_for = [each.model for each in provider.models]
    for number, name in enumerate(stood_in_for):
        path = f"models[{number}]"
        if name in stood_in_for[:number]:
            reason = f"models[{stood_in_for.index(name)}] is about the same model"
            yield Problem(path, name, reason, LEAVE_OUT)
        elif name not in served:
            yield Problem(f"{path}.model", name, "no such model", nearest_or_few(name, served))


def note_hosted(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Whose requests leave the cluster, and for where."""
    for index, provider in enumerate(gateway.hosted):
        teams, models = ", ".join(provider.teams), ", ".join(each.model for each in provider.models)
        reason = f"prompts of these teams leave the cluster for {provider.host} where {models} and its fallbacks fail"
        yield Problem(f"hosted[{index}].teams", teams, reason, Suggestion("no provider", needs=Needs.CHOICE))
