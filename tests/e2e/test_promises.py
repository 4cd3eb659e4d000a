"""What an instance promises its clients when it is full and when it must go, kept by a real engine.

The settings give it one place, a short queue and little time to go, so that each promise is put to the test at once.
"""

import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.cluster.rest import Kubernetes, UnreachableError
from tests.e2e.served import MODEL, QUESTION, TEAM, VLLM, Served, engine_of
from tests.engine.local_stack import wait_until

STREAMS = 8
LONG = 1900
"""Tokens of a long answer; the context has 2048."""
DRAINED = re.compile(
    r"drained in (?P<seconds>[\d.]+) s: (?P<completed>\d+) completed, (?P<refused>\d+) refused, "
    r"(?P<failed>\d+) failed before their first byte, (?P<ended>\d+) ended with an error in their stream, "
    r"(?P<broken>\d+) cut"
)
PRE_STOP, WINDOW = 1, 20
"""Seconds from the eviction to the signal, and from the signal to the end of requests."""
PATIENCE = 60
"""Seconds that an answer may take."""


@pytest.fixture(scope="module")
def hurried(served: Served) -> Iterator[Served]:
    """An instance with one place, eight places in the queue, and little time to go. Its release answers at any length
    that clients ask for."""
    before = served.model()
    options = {
        "releases": {"stable": "1.2.0"},
        "engine": {"maxSequences": 1, "maxQueuedRequests": 8},
        "drain": {"preStopSeconds": PRE_STOP, "shutdownTimeoutSeconds": WINDOW},
    }
    served.change(lambda model: model.update(options))
    served.up()
    wait_until(lambda: len(served.pods()) == 1 and len(served.ready_pods()) == 1, 240, "the old release has gone")
    yield served
    served.change(lambda model: [model.clear(), model.update(before)])
    served.up()
    wait_until(lambda: len(served.pods()) == 1, 120, "it is as before")


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
        said = _evicted(hurried, victim)
    fates = Counter(stream.result() for stream in streams)
    assert set(fates) <= {"completed", "failed", "ended"}, fates
    assert fates["failed"] >= 1, fates
    assert fates["ended"] <= 1, "more than the one that ran"
    assert said["seconds"] >= WINDOW, "they had their time"
    # What ended before the order to stop is none of the drain's.
    assert said["completed"] <= fates["completed"]
    assert (said["failed"] + said["refused"], said["ended"], said["broken"]) == (fates["failed"], fates["ended"], 0)
    wait_until(lambda: len(hurried.ready_pods()) == 1, 240, "a new instance is ready")


def test_a_request_that_can_end_within_the_window_does(hurried: Served) -> None:
    victim = _evictable(hurried)
    base = engine_of(victim)
    begun = time.monotonic()
    assert _status(base, LONG // 4) == 200
    rate = LONG / 4 / (time.monotonic() - begun)
    # Past the signal, which a busy node gives late, and before the end, even of an engine that has become slower.
    tokens = min(int(rate * (PRE_STOP + WINDOW) / 2), LONG)
    answered: list[int] = []
    asking = threading.Thread(target=lambda: answered.append(_status(base, tokens)))
    asking.start()
    wait_until(lambda: hurried.metric(victim, VLLM.requests_running) == 1, 30, "it runs")
    said = _evicted(hurried, victim)
    asking.join(PATIENCE)
    assert answered == [200]
    assert (said["completed"], said["failed"], said["ended"]) == (1, 0, 0), said
    wait_until(lambda: len(hurried.ready_pods()) == 1, 240, "a new instance is ready")


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
    found = json.loads(last)
    if "error" in found:
        return "ended"
    return "completed" if found["choices"][0]["finish_reason"] else "cut without a word"


def _together(calls: list) -> list[int]:
    results: list[int] = []
    threads = [threading.Thread(target=lambda call=call: results.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return results


def _evicted(served: Served, pod: dict) -> dict[str, float]:
    """Evict a pod, and return the counts that its launcher says when it has drained. Its log is followed to its end,
    which is that of the pod, from before the eviction on."""
    kubernetes, name = served.kubernetes(), pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{TEAM}/pods/{name}/log"
    said: list[str] = []
    following = threading.Event()

    def follow() -> None:
        for line in kubernetes.stream(path, {"container": "engine", "follow": "true"}, 2 * PATIENCE):
            said.append(line.decode())
            following.set()

    with ThreadPoolExecutor(1) as reader:
        log = reader.submit(follow)
        wait_until(lambda: following.is_set() or log.done(), PATIENCE, "its log is read")
        assert not log.done(), log.result()
        # Through the eviction API, which honours the disruption budget, as a node's drain does.
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": TEAM}}
        wait_until(lambda: _is_going(kubernetes, pod, eviction), PATIENCE, "it is evicted")
        log.result()
    found = DRAINED.search("\n".join(said))
    assert found, said
    return {name: float(value) for name, value in found.groupdict().items()}


def _is_going(kubernetes: Kubernetes, pod: dict, eviction: dict) -> bool:
    """Ask for the eviction; whether the pod is on its way. A late API server may have done what it was asked."""
    try:
        kubernetes.request("POST", kubernetes.path_of(pod, "eviction"), body=eviction)
    except UnreachableError:
        found = kubernetes.find("v1", "Pod", pod["metadata"]["name"], TEAM)
        return found is None or "deletionTimestamp" in found["metadata"]
    return True


def _evictable(served: Served) -> dict:
    """The only instance, once the disruption budget counts it: it may have become ready this moment."""

    def allowed() -> bool:
        (budget,) = served.kubernetes().list("policy/v1", "PodDisruptionBudget", TEAM)
        return budget.get("status", {}).get("disruptionsAllowed", 0) > 0

    wait_until(allowed, 60, "the disruption budget allows an eviction")
    (pod,) = served.ready_pods()
    return pod
