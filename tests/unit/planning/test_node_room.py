"""Room on nodes, as the scheduler counts it."""

from math import ceil

import pytest

from llm_serving.planning.node_room import NodeRoom, PodSize, nodes_that_hold, pods_that_fit

ROOM = NodeRoom(gpus=8, storage_gib=100, pods=20)


def _one_by_one(pods: list[PodSize], room: NodeRoom, nodes: int) -> int:
    """First fit as it is defined: each pod, the largest first, on the first node that has room."""
    free = [room] * nodes
    placed = 0
    for pod in sorted(pods, reverse=True):
        for number, left in enumerate(free):
            if left.holds(pod):
                free[number] = left.without(pod, 1)
                placed += 1
                break
    return placed


@pytest.mark.parametrize(
    "sizes",
    [
        [(8, 10.0)] * 3,
        [(5, 10.0)] * 3 + [(3, 10.0)] * 4 + [(1, 0.0)] * 9,
        [(1, 30.0)] * 10 + [(2, 1.0)] * 7,
        [(0, 1.0)] * 70,
        [(4, 50.0), (4, 51.0), (3, 49.0), (1, 0.0), (9, 1.0)],
    ],
)
def test_equal_nodes_that_are_counted_together_hold_what_each_pod_by_itself_would_find(
    sizes: list[tuple[int, float]],
) -> None:
    pods = [PodSize(*size) for size in sizes]
    for nodes in range(12):
        assert pods_that_fit(pods, ROOM, nodes) == _one_by_one(pods, ROOM, nodes)
    fitting = [pod for pod in pods if ROOM.holds(pod)]
    fewest = next(nodes for nodes in range(len(pods) + 1) if _one_by_one(fitting, ROOM, nodes) == len(fitting))
    assert nodes_that_hold(fitting, ROOM) == fewest


def test_the_steps_depend_on_sizes_and_not_on_how_many_pods_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    without = NodeRoom.without

    def counted(room: NodeRoom, pod: PodSize, count: int) -> NodeRoom:
        nonlocal steps
        steps += 1
        return without(room, pod, count)

    monkeypatch.setattr(NodeRoom, "without", counted)
    count = 1_000_000
    assert nodes_that_hold([PodSize(3)] * count, NodeRoom(gpus=8)) == ceil(count / 2)
    assert pods_that_fit([PodSize(3)] * count, NodeRoom(gpus=8), nodes=1000) == 2000
    assert steps < 20
