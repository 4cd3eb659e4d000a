"""Viewers and editors of teams: EKS knows nobody but principals of IAM, each by one access entry."""

from collections.abc import Iterator

from llm_serving.errors import LEAVE_OUT, Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec.forms import IAM_PRINCIPAL


def check_teams(stack: StackShape) -> Iterator[Problem]:
    """Who is no principal, and who may do everything already: a principal has one access entry a cluster (EKS
    documentation, "Create access entries")."""
    cluster = stack.aws.cluster
    if cluster is None:
        return
    administrators = {administrator.principal for administrator in cluster.administrators}
    for index, team in enumerate(stack.teams):
        for what, principals in (("viewers", team.viewers), ("editors", team.editors)):
            for number, principal in enumerate(principals):
                yield from _principal(f"teams[{index}].{what}[{number}]", principal, stack.aws.account, administrators)


def _principal(path: str, principal: str, account: str, administrators: set[str]) -> Iterator[Problem]:
    if principal in administrators:
        reason = "one of cluster.administrators, who may do everything already"
        yield Problem(path, principal, reason, LEAVE_OUT)
        return
    try:
        IAM_PRINCIPAL.check(principal)
    except ProblemsError as error:
        problem = error.problems[0]
        example = f"arn:aws:iam::{account or '<account>'}:role/<name>"
        hint = problem.suggestion or Suggestion(example, needs=Needs.FACT)
        yield Problem(path, principal, f"{problem.reason}, by which EKS knows people", hint)
