"""How a gateway ends: what it does to others, and to requests that run."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.conftest import give_keys
from tests.images.gateway.pods import GUARD_SECONDS, key, leaving, wait_until


def test_a_replica_that_dies_gives_back_what_its_requests_held(pods, pod, weighted, redis):
    give_keys(pods, key("dying", parallelRequests=1, budget={"tokens": 1000}))
    weighted.behaviour.hold = hold = threading.Event()
    with leaving(pods[1], "dying", stream=False):
        wait_until(lambda: bool(weighted.requests), "the request")
        pods[1].process.kill()
        pods[1].process.wait(GUARD_SECONDS)
    hold.set()
    weighted.behaviour = Behaviour()
    wait_until(lambda: pods[0].chat("dying").status_code == 200, "the end of the lease")
    # What the dead one had reserved counts as used: nobody knows better.
    assert redis.number("llm:{dying}:budget", "tokens") == 15 + 22
    assert redis.number("llm:{dying}:budget", "held_tokens") == 0


def test_a_gateway_that_is_told_to_stop_finishes_what_runs(pod, weighted):
    weighted.behaviour.hold_stream = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: pod.chat(stream=True).text)
        wait_until(lambda: bool(weighted.requests), "the request")
        pod.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(pod), "the end of new connections")
        weighted.behaviour.hold_stream.set()
        assert running.result(GUARD_SECONDS).endswith("data: [DONE]\n\n")
    assert pod.process.wait(GUARD_SECONDS) == 0


def answers(pod) -> bool:
    try:
        return pod.chat().status_code == 200
    except OSError:
        return False
