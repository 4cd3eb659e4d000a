"""What only Google Cloud refuses: the network, the cluster and the spot nodes of a GKE stack. Where a stack has none of
them, there is nothing to refuse."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.rules.gcp.cluster import check_cluster, note_cluster
from llm_serving.planning.rules.gcp.labels import check_groups, check_labels
from llm_serving.planning.rules.gcp.network import check_network
from llm_serving.planning.rules.gcp.node_minimum import note_node_minimum
from llm_serving.planning.rules.gcp.registry import check_registry, note_registry
from llm_serving.planning.rules.gcp.spot_shutdown import check_spot_shutdown, note_spot_shutdown
from llm_serving.planning.rules.stack import StackShape


def check_gcp(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``network``, ``cluster``, ``registry``, labels, groups and ``spotShutdownSeconds``."""
    yield from check_network(stack)
    yield from check_cluster(stack)
    yield from check_labels(stack)
    yield from check_groups(stack)
    yield from check_registry(stack)
    yield from check_spot_shutdown(stack)


def note_gcp(stack: StackShape) -> Iterator[Problem]:
    """What is allowed there and may surprise."""
    yield from note_cluster(stack)
    yield from note_registry(stack)
    yield from note_spot_shutdown(stack)
    yield from note_node_minimum(stack)
