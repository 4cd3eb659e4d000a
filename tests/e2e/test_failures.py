"""Pods that end, as asked and not as asked."""

from tests.e2e.load import Load
from tests.e2e.served import TEAM, VLLM, Served, engine_of
from tests.engine.local_stack import wait_until
from tests.stand_in import control


def test_a_deleted_pod_finishes_its_requests_while_another_takes_over(stand_in: Served) -> None:
    stand_in.scale(2)
    try:
        wait_until(lambda: len(stand_in.ready_pods()) == 2, 240, "both instances are ready")
        victim = stand_in.ready_pods()[0]
        with Load(stand_in) as load:
            wait_until(lambda: load.answered > 0, 60, "the first answer under load")
            stand_in.kubernetes().delete(victim)
            wait_until(lambda: _gone(stand_in, victim), 180, "the deleted pod is gone")
        assert not load.failed
    finally:
        stand_in.scale(1)
        wait_until(lambda: len(stand_in.pods(ending=True)) == 1, 180, "one of them is gone")


def test_a_killed_engine_fails_only_what_it_was_doing_and_comes_back(stand_in: Served) -> None:
    (pod,) = stand_in.ready_pods()
    restarts = _restarts(pod)
    with Load(stand_in) as load:
        wait_until(lambda: load.answered > 0, 60, "the first answer under load")
        control.hold(engine_of(pod))
        wait_until(
            lambda: stand_in.metric(pod, VLLM.requests_running) == load.clients, 60, "every client has a request in it"
        )
        _kill_engine(stand_in, pod)
        wait_until(lambda: _restarts(_again(stand_in, pod)) > restarts, 60, "the container is started again")
        wait_until(lambda: bool(stand_in.ready_pods()), 240, "the pod is ready again")
        answered = load.answered
        wait_until(lambda: load.answered > answered, 60, "answers after the restart")
    print(f"kill -9: {load.answered} answered, failed: {dict(load.failed)}")
    # Nobody takes over while the only instance starts: clients are refused at once, and none waits for a time-out.
    assert load.failed
    assert not [reason for reason in load.failed if "timed out" in reason]


def _kill_engine(served: Served, pod: dict) -> None:
    """SIGKILL to the engine's main process, from the node: the launcher is its parent."""
    listed = served.node.cluster.exec_in_node(["pgrep", "-f", "^[^ ]*python[^ ]* [^ ]*vllm serve"])
    pids = listed.stdout.split()
    assert pids, listed
    served.node.cluster.exec_in_node(["kill", "-9", pids[0]])


def _again(served: Served, pod: dict) -> dict:
    return served.kubernetes().get("v1", "Pod", pod["metadata"]["name"], TEAM)


def _gone(served: Served, pod: dict) -> bool:
    return served.kubernetes().find("v1", "Pod", pod["metadata"]["name"], TEAM) is None


def _restarts(pod: dict) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
