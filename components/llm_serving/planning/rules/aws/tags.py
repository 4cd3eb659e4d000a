"""Labels of a stack, which are tags on AWS."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.stack import StackShape

MOST_TAGS = 50
"""A resource of AWS has at most 50 tags of one's own (AWS documentation, "Tag naming limits and requirements")."""

OWN_TAGS = 10
"""Of these, what the stack's own components, EKS and Karpenter put on a node."""


def check_tags(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``labels``."""
    labels = stack.aws.labels
    if len(labels) > MOST_TAGS - OWN_TAGS:
        reason = f"a resource of AWS has at most {MOST_TAGS} tags, and {OWN_TAGS} are kept for EKS and Karpenter"
        fewer = Suggestion(f"{MOST_TAGS - OWN_TAGS} or fewer", needs=Needs.CHOICE)
        yield Problem("labels", f"{len(labels)} labels", reason, fewer)
