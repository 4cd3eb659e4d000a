"""Quantizations: team, pool and base exist, the base can be quantized on the pool's nodes, and somebody loads it."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion, nearest, nearest_or_few
from llm_serving.planning.quantization import FOLDER, QuantizationPlan, plan_quantization
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import QuantizationSpec
from llm_serving.spec.loader import HUB


def check_quantizations(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``quantizations`` but the room that they find on their pools."""
    for index, quantization in enumerate(stack.quantizations):
        path = f"quantizations[{index}]"
        yield from (problem.under(path) for problem in _places(stack, quantization))
        yield from (problem.under(path) for problem in _base(stack, quantization))
    yield from _teams(stack)
    _, problems = quantization_plans(stack)
    yield from problems
    if stack.quantizations and stack.loader is None:
        reason = "the Job verifies the base and writes the result with the loader, and there is none"
        hint = Suggestion("loader, with the image of images/model-loader", needs=Needs.FACT)
        yield Problem("loader", None, reason, hint)
    for index, model in enumerate(stack.models):
        if stack.quantizations and model.name == FOLDER:
            reason = "results of quantizations lie in the folder of this name"
            yield Problem(
                f"models[{index}].name",
                model.name,
                reason,
                Suggestion(f"another name, such as {FOLDER}-model, and releases of it", needs=Needs.ELSEWHERE),
            )


def quantization_plans(stack: StackShape) -> tuple[dict[int, QuantizationPlan], list[Problem]]:
    """The plans of the quantizations whose pool and base are known and fit, by index, and what refuses the others."""
    plans: dict[int, QuantizationPlan] = {}
    problems: list[Problem] = []
    for index, quantization in enumerate(stack.quantizations):
        node = stack.node(quantization.pool)
        base = stack.releases.get((quantization.base.model, quantization.base.release))
        if node is None or base is None:
            continue
        try:
            plans[index] = plan_quantization(quantization, base, node, stack.cloud, stack.sidecar)
        except ProblemsError as error:
            problems += [problem.under(f"quantizations[{index}]") for problem in error.problems]
    return plans, problems


def _places(stack: StackShape, quantization: QuantizationSpec) -> Iterator[Problem]:
    teams, pools = [team.name for team in stack.teams], [pool.name for pool in stack.pools]
    if quantization.team not in teams:
        yield Problem("team", quantization.team, "no such team", nearest_or_few(quantization.team, teams))
    if quantization.pool not in pools:
        yield Problem("pool", quantization.pool, "no such pool", nearest_or_few(quantization.pool, pools))


def _base(stack: StackShape, quantization: QuantizationSpec) -> Iterator[Problem]:
    base = quantization.base
    release = stack.releases.get((base.model, base.release))
    if release is None:
        versions = [version for name, version in stack.releases if name == base.model]
        if versions:
            reason = f"{base.model} has no such release"
            yield Problem("base.release", base.release, reason, nearest_or_few(base.release, versions))
        else:
            reason = "there are no releases of a model of this name"
            yield Problem("base.model", base.model, reason, nearest(base.model, {name for name, _ in stack.releases}))
        return
    loader, source = stack.loader, release.model
    if source.gated and loader is not None and loader.source == HUB and loader.token_secret is None:
        reason = f"{source.repository} is gated, and the loader has no token for the hub"
        hint = Suggestion("loader.token, a secret of the stack", needs=Needs.COMMAND)
        yield Problem("base.release", base.release, reason, hint)
    if source.gated and not quantization.accept_license:
        reason = f"{source.repository} is gated: its licence ({source.license}) must be accepted"
        yield Problem("acceptLicense", False, reason, Suggestion("true, after reading it", values=[True]))


def _teams(stack: StackShape) -> Iterator[Problem]:
    """One team has a base: it is loaded once, into a folder that has one writer, and a claim is one team's."""
    owners = {(model.name, version): model.team for model in stack.models for _, version in releases_of(model)}
    teams = {team.name for team in stack.teams}
    for index, quantization in enumerate(stack.quantizations):
        if quantization.team not in teams:
            continue
        base = (quantization.base.model, quantization.base.release)
        owner = owners.setdefault(base, quantization.team)
        if owner != quantization.team:
            reason = f"team {owner} has the weights of {base[0]} {base[1]} in this stack"
            yield Problem(f"quantizations[{index}].team", quantization.team, reason, Suggestion(values=[owner]))
