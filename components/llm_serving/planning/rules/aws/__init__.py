"""What only AWS refuses: network, cluster, pools, registry, tags and teams of an EKS stack. Where a stack has none of
them, there is nothing to refuse."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.rules.aws.cluster import check_cluster, note_cluster
from llm_serving.planning.rules.aws.network import check_network
from llm_serving.planning.rules.aws.pools import check_pools, note_pools
from llm_serving.planning.rules.aws.registry import check_registry, note_registry
from llm_serving.planning.rules.aws.tags import check_tags
from llm_serving.planning.rules.aws.teams import check_teams
from llm_serving.planning.rules.stack import StackShape


def check_aws(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``network``, ``cluster``, ``pools``, ``registry``, ``labels`` and ``teams`` of a stack there."""
    yield from check_network(stack)
    yield from check_cluster(stack)
    yield from check_pools(stack)
    yield from check_registry(stack)
    yield from check_tags(stack)
    yield from check_teams(stack)


def note_aws(stack: StackShape) -> Iterator[Problem]:
    """What is allowed there and may surprise."""
    yield from note_cluster(stack)
    yield from note_pools(stack)
    yield from note_registry(stack)
