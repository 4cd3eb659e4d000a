"""Pods that end, as asked and not as asked."""

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from llm_serving.serving import launcher
from tests.e2e.load import Load
from tests.e2e.served import MODEL, QUESTION, STAND_IN_STALL_SECONDS, TEAM, VLLM, Served, engine_of
from tests.engine.local_stack import wait_until
from tests.stand_in import control

RESTART_SECONDS = STAND_IN_STALL_SECONDS + 6 * 10 + 25
"""After which an engine that is silent was restarted: its stall time, six liveness probes, one every 10 s, and
some more."""
PATIENCE = 900
_BODY = {"model": MODEL, "messages": QUESTION, "max_tokens": 8}


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


def test_an_engine_whose_core_is_frozen_is_restarted_though_its_health_is_answered(served: Served) -> None:
    (pod,) = served.ready_pods()
    restarts = _restarts(pod)
    with ThreadPoolExecutor(1) as client:
        (core,) = _processes(served, "VLLM::EngineCore")
        served.node.cluster.exec_in_node(["kill", "-STOP", core])
        answer = client.submit(_ask_until_the_end, served, pod)
        # The API's own process answers on: a request that hangs is all that shows it.
        wait_until(lambda: "none of its counters has moved" in (_health(served, pod)["reason"] or ""), 300, "a reason")
        assert served.from_node(f"{engine_of(pod)}/health") == "\n"
        wait_until(lambda: _restarts(_again(served, pod)) > restarts, 480, "the container is started again")
        wait_until(lambda: bool(served.ready_pods()), 300, "the pod is ready again")
        answer.result()
    wait_until(served.answers, 60, "its Service leads to it")


def test_an_engine_that_is_late_with_its_health_and_computes_is_not_restarted(stand_in: Served) -> None:
    (pod,) = stand_in.ready_pods()
    restarts, base = _restarts(pod), engine_of(pod)
    control.hold(base)
    control.mute(base)
    try:
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(_ask_until_the_end, stand_in, pod)
            wait_until(lambda: not stand_in.ready_pods(), 120, "it is late, and gets no more requests")
            begin = _health(stand_in, pod)["uptime_seconds"]
            wait_until(lambda: _health(stand_in, pod)["uptime_seconds"] > begin + RESTART_SECONDS, 600, "that lasts")
            control.unmute(base)
            control.release(base)
            assert answer.result() == 200
        wait_until(stand_in.answers, 120, "it gets requests again")
        assert _restarts(_again(stand_in, pod)) == restarts
    finally:
        control.unmute(base)
        control.release(base)


def _ask_until_the_end(served: Served, pod: dict) -> int:
    """Ask an instance, past the Service, with all patience; the status, 0 where it went away."""
    try:
        served.ask("/v1/chat/completions", _BODY, base=engine_of(pod), timeout=PATIENCE)
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    return 200


def _health(served: Served, pod: dict) -> dict:
    """What the launcher of a pod says of its engine; ``reason`` and ``uptime_seconds`` in any case."""
    program = (
        "import sys, urllib.error, urllib.request\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())\n"
        "except urllib.error.HTTPError as error: print(error.read().decode())"
    )
    url = f"http://{pod['status']['podIP']}:{launcher.PORT}/health"
    text = served.node.cluster.exec_in_node([sys.executable, "-c", program, url]).stdout
    return json.loads(text) if text.strip() else {"reason": None, "uptime_seconds": 0.0}


def _processes(served: Served, title: str) -> list[str]:
    """Ids of the node's processes whose command line begins with a title that they gave themselves."""
    return served.node.cluster.exec_in_node(["pgrep", "-f", f"^{title}"]).stdout.split()


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
