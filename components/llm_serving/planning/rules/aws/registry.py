"""Where images come from: a private registry of ECR, of this account or of another one, and Docker Hub through it."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.clouds.aws import partition
from llm_serving.planning.rules.stack import StackShape


def check_registry(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``registry``: no identity of one partition of AWS is known in another."""
    registry = stack.aws.registry
    if registry is None or registry.region is None or partition(registry.region) == partition(stack.region):
        return
    reason = f"no node in {stack.region} can prove who it is there: they are separate partitions of AWS"
    yield Problem("registry.region", registry.region, reason, Suggestion(values=[stack.region]))


def note_registry(stack: StackShape) -> Iterator[Problem]:
    """Images that come from another region: each node downloads all of them before it starts an engine."""
    registry = stack.aws.registry
    if registry is not None and registry.region not in (None, stack.region):
        reason = f"nodes in {stack.region} pull all images from another region, which takes longer and is billed"
        hint = Suggestion(f"a registry that is replicated to {stack.region}", needs=Needs.ELSEWHERE)
        yield Problem("registry.region", registry.region, reason, hint)
