"""Pods that end, as asked and not as asked."""

from tests.e2e.load import Load
from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until


def test_a_deleted_pod_finishes_its_requests_while_another_takes_over(served: Served) -> None:
    served.change(lambda model: model.update(replicas=2))
    served.up()
    try:
        victim = served.ready_pods()[0]
        with Load(served) as load:
            wait_until(lambda: load.answered > 0, 60, "the first answer under load")
            served.kubernetes().delete(victim)
            wait_until(lambda: _gone(served, victim), 180, "the deleted pod is gone")
        assert not load.failed
    finally:
        served.change(lambda model: model.update(replicas=1))
        served.up()
        wait_until(lambda: len(served.pods()) == 1, 120, "one of them is on its way out")


def test_a_killed_engine_fails_only_what_it_was_doing_and_comes_back(served: Served) -> None:
    (pod,) = served.ready_pods()
    restarts = _restarts(pod)
    with Load(served) as load:
        wait_until(lambda: load.answered > 0, 60, "the first answer under load")
        _kill_engine(served, pod)
        wait_until(lambda: _restarts(_again(served, pod)) > restarts, 60, "the container is started again")
        wait_until(lambda: bool(served.ready_pods()), 240, "the pod is ready again")
        answered = load.answered
        wait_until(lambda: load.answered > answered, 60, "answers after the restart")
    print(f"kill -9: {load.answered} answered, failed: {dict(load.failed)}")
    # Nobody takes over while the only instance starts: clients are refused at once, and none waits for a time-out.
    assert load.failed
    assert not [reason for reason in load.failed if "timed out" in reason]


def _kill_engine(served: Served, pod: dict) -> None:
    """SIGKILL to the engine's main process, from the node: the launcher is its parent."""
    found = served.node.cluster.exec_in_node(["pgrep", "-f", "^[^ ]*python[^ ]* [^ ]*vllm serve"])
    pids = found.stdout.split()
    assert pids, found
    served.node.cluster.exec_in_node(["kill", "-9", pids[0]])


def _again(served: Served, pod: dict) -> dict:
    return served.kubernetes().get("v1", "Pod", pod["metadata"]["name"], TEAM)


def _gone(served: Served, pod: dict) -> bool:
    return served.kubernetes().find("v1", "Pod", pod["metadata"]["name"], TEAM) is None


def _restarts(pod: dict) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
