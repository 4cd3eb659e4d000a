"""What an instance promises its clients when it is full and when it must go.

Kept by a real engine whose settings give it one place, a short queue and little time to go, so that each promise is put
to the test at once. Where a promise is about the order of an answer's end and of the signal, a stand-in for the engine
keeps it, whose tokens the test holds back: no engine's pace decides.
"""

import http.client
import json
import re
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.cluster.rest import Kubernetes, UnreachableError
from tests.e2e.served import MODEL, ONE_PLACE, QUESTION, TEAM, VLLM, Served, engine_of
from tests.engine.local_stack import wait_until
from tests.stand_in import control

STREAMS = 8
LONG = 1900
"""Tokens of a long answer; the context has 2048. Eight of them take many times the window on any CPU: vLLM itself
spends about a millisecond on each step."""
DRAINING = "draining: 1 requests run"
DRAINED = re.compile(
    r"drained in (?P<seconds>[\d.]+) s: (?P<completed>\d+) completed, (?P<refused>\d+) refused, "
    r"(?P<failed>\d+) failed before their first byte, (?P<ended>\d+) ended with an error in their stream, "
    r"(?P<broken>\d+) cut"
)
PATIENCE = 120
"""Seconds that an answer may take."""


@pytest.fixture(scope="module")
def hurried(served: Served) -> Served:
    """An instance with one place."""
    if served.model()["releases"] != ONE_PLACE["releases"]:
        served.change(lambda model: model.update(ONE_PLACE))
        served.up()
    wait_until(lambda: len(served.pods()) == 1 and len(served.ready_pods()) == 1, 240, "the old release has gone")
    return served


def test_a_full_instance_refuses_at_once_and_answers_the_others(hurried: Served) -> None:
    pod = hurried.ready_pods()[0]
    base = engine_of(pod)
    answers = Counter(_together([lambda: _status(base, 80) for _ in range(16)]))
    assert answers[200] >= 1
    assert answers[503] >= 1
    assert set(answers) == {200, 503}
    assert hurried.metric(pod, VLLM.rejections) == answers[503]


def test_an_evicted_instance_keeps_its_word_to_every_request_and_counts_them(hurried: Served) -> None:
    """As before a spot node ends. The streams take their turns in the one place, which takes far longer than the
    window: those that end in it are whole, the one that runs at its end is told so in its stream, those that wait are
    refused before their first byte, so that they can be asked again elsewhere."""
    victim = _evictable(hurried)
    base = engine_of(victim)
    with ThreadPoolExecutor(STREAMS) as clients:
        streams = [clients.submit(_fate, base) for _ in range(STREAMS)]
        wait_until(lambda: hurried.metric(victim, VLLM.requests_waiting) >= STREAMS // 2, 30, "they queue")
        counts = _evicted(hurried, victim)
    fates = Counter(stream.result() for stream in streams)
    assert set(fates) <= {"completed", "failed", "ended"}, fates
    assert fates["failed"] >= 1, fates
    assert fates["ended"] <= 1, "more than the one that ran"
    assert counts["seconds"] >= ONE_PLACE["drain"]["shutdownTimeoutSeconds"], "they had their time"
    # What ended before the order to stop is none of the drain's.
    assert counts["completed"] <= fates["completed"]
    refused = counts["failed"] + counts["refused"]
    assert (refused, counts["ended"], counts["broken"]) == (fates["failed"], fates["ended"], 0)


def test_a_request_that_can_end_within_the_window_does(stand_in: Served) -> None:
    victim = _evictable(stand_in)
    base = engine_of(victim)
    control.hold(base)
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(_status, base, 8)
        wait_until(lambda: stand_in.metric(victim, VLLM.requests_running) == 1, 30, "it runs")
        counts = _evicted(stand_in, victim, on_line=lambda line: control.release(base) if DRAINING in line else None)
    assert answer.result() == 200
    assert (counts["completed"], counts["failed"], counts["ended"]) == (1, 0, 0), counts
    wait_until(lambda: len(stand_in.ready_pods()) == 1, 240, "a new instance is ready")


def _request(base: str, tokens: int, **options: object) -> urllib.request.Request:
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": tokens, "ignore_eos": True, **options}
    return urllib.request.Request(
        f"{base}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )


def _status(base: str, tokens: int) -> int:
    """The HTTP status of an answer; 0 where there was none."""
    try:
        with urllib.request.urlopen(_request(base, tokens), timeout=PATIENCE) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except (OSError, http.client.HTTPException):
        return 0


def _fate(base: str) -> str:
    """What became of a long stream, in the words of the launcher's counts."""
    last = ""
    try:
        with urllib.request.urlopen(_request(base, LONG, stream=True), timeout=PATIENCE) as answer:
            for line in answer:
                event = line[6:].decode().strip() if line.startswith(b"data: ") else ""
                last = event if event and event != "[DONE]" else last
    except urllib.error.HTTPError as refused:
        return "failed" if refused.code == 503 and refused.headers["Retry-After"] else f"status {refused.code}"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    chunk = json.loads(last)
    if "error" in chunk:
        return "ended"
    return "completed" if chunk["choices"][0]["finish_reason"] else "cut without a word"


def _together(calls: list) -> list[int]:
    results: list[int] = []
    threads = [threading.Thread(target=lambda call=call: results.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return results


def _evicted(served: Served, pod: dict, on_line: Callable[[str], None] = lambda line: None) -> dict[str, float]:
    """Evict a pod, and return the counts that its launcher says when it has drained. Its log is followed to its end,
    which is that of the pod, from before the eviction on; ``on_line`` gets each line as it comes."""
    kubernetes, name = served.kubernetes(), pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{TEAM}/pods/{name}/log"
    lines: list[str] = []
    following = threading.Event()

    def follow() -> None:
        for line in kubernetes.stream(path, {"container": "engine", "follow": "true"}, 2 * PATIENCE):
            lines.append(line.decode())
            following.set()
            on_line(lines[-1])

    with ThreadPoolExecutor(1) as reader:
        log = reader.submit(follow)
        wait_until(lambda: following.is_set() or log.done(), PATIENCE, "its log is read")
        assert not log.done(), log.result()
        # Through the eviction API, which honours the disruption budget, as a node's drain does.
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": TEAM}}
        wait_until(lambda: _is_ending(kubernetes, pod, eviction), PATIENCE, "it is evicted")
        log.result()
    counts = DRAINED.search("\n".join(lines))
    assert counts, lines
    return {name: float(value) for name, value in counts.groupdict().items()}


def _is_ending(kubernetes: Kubernetes, pod: dict, eviction: dict) -> bool:
    """Ask for the eviction; whether the pod is on its way. A late API server may have done what it was asked."""
    try:
        kubernetes.request("POST", kubernetes.path_of(pod, "eviction"), body=eviction)
    except UnreachableError:
        live = kubernetes.find("v1", "Pod", pod["metadata"]["name"], TEAM)
        return live is None or "deletionTimestamp" in live["metadata"]
    return True


def _evictable(served: Served) -> dict:
    """The only instance, once the disruption budget counts it: it may have become ready this moment."""

    def allowed() -> bool:
        (budget,) = served.kubernetes().list("policy/v1", "PodDisruptionBudget", TEAM)
        return budget.get("status", {}).get("disruptionsAllowed", 0) > 0

    wait_until(allowed, 60, "the disruption budget allows an eviction")
    (pod,) = served.ready_pods()
    return pod
