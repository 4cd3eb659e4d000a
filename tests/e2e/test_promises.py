"""What an instance promises its clients when it is full and when it must go, kept by a real engine.

The settings give it one place, a short queue and little time to go, so that each promise is put to the test at once.
"""

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.served import MODEL, QUESTION, TEAM, Served
from tests.engine.local_stack import wait_until


@pytest.fixture(scope="module")
def hurried(served: Served) -> Iterator[Served]:
    """Two instances with one place each, one place in the queue, and three seconds to go."""
    options = {
        "replicas": 2,
        "engine": {"maxSequences": 1, "maxQueuedRequests": 1},
        "drain": {"preStopSeconds": 1, "shutdownTimeoutSeconds": 2},
    }
    served.change(lambda model: model.update(options))
    served.up()
    yield served
    served.change(lambda model: [model.pop(key) for key in options])
    served.up()


def test_a_full_instance_refuses_at_once_and_answers_the_others(hurried: Served) -> None:
    base = _address(hurried.ready_pods()[0])
    answers = Counter(_together([lambda: _status(base, 200) for _ in range(6)]))
    assert answers[200] >= 1
    assert answers[503] >= 1
    assert set(answers) == {200, 503}
    rejected = [
        float(line.rsplit(" ", 1)[1])
        for line in hurried.text(f"{base}/metrics").splitlines()
        if line.startswith("vllm:admission_rejections_total")
    ]
    assert sum(rejected) == answers[503]


def test_a_short_request_ends_within_the_window(hurried: Served) -> None:
    wait_until(lambda: len(hurried.ready_pods()) == 2, 240, "both instances are ready")
    victim = hurried.ready_pods()[0]
    base = _address(victim)
    answered: list[int] = []
    asking = threading.Thread(target=lambda: answered.append(_status(base, 150)))
    asking.start()
    wait_until(lambda: bool(answered) or _gauge(hurried, base, "vllm:num_requests_running") == 1, 30, "it runs")
    _evict(hurried, victim)
    asking.join(60)
    assert answered == [200]
    wait_until(lambda: len(hurried.ready_pods()) == 2, 240, "a new instance is ready")


def _address(pod: dict) -> str:
    return f"http://{pod['status']['podIP']}:8000"


def _request(base: str, tokens: int, **options: object) -> urllib.request.Request:
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": tokens, "ignore_eos": True, **options}
    return urllib.request.Request(
        f"{base}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )


def _status(base: str, tokens: int) -> int:
    """The HTTP status of an answer; 0 where there was none."""
    try:
        with urllib.request.urlopen(_request(base, tokens), timeout=60) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def _together(calls: list) -> list[int]:
    results: list[int] = []
    threads = [threading.Thread(target=lambda call=call: results.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return results


def _gauge(served: Served, base: str, name: str) -> float:
    lines = [line for line in served.text(f"{base}/metrics").splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def _evict(served: Served, pod: dict) -> None:
    """Through the eviction API, which honours the disruption budget, as a node's drain does."""
    kubernetes, name = served.kubernetes(), pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": TEAM},
    }
    kubernetes.request("POST", kubernetes.path_of(pod, "eviction"), body=eviction)
