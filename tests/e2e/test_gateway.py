"""The gateway in front of a model: LiteLLM, both Redis, proxy and router in pods, and a stand-in for the engine."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from bench.endpoint import running_engine
from local.endpoint.gateway_access import client_key
from stacks.keys import hash_key, make_key
from tests.e2e.gateway import NAMESPACE, GatewayClient, GuardedEngine, parts, steady_load
from tests.e2e.served import MODEL, TEAM, Served, is_ready
from tests.engine.local_stack import wait_until

CANARY = "1.2.0"
GATEWAY, PROXY, ROUTER = "gateway", "gateway-proxy", "router"
FEW_A_MINUTE, ONE_AT_ONCE, NOTHING, LATER = (make_key() for _ in range(4))


def _key(name: str, key: str, **limits: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hash_key(key), "team": TEAM, **limits}


KEYS = (
    _key("few-a-minute", FEW_A_MINUTE, requestsPerMinute=5),
    _key("one-at-once", ONE_AT_ONCE, parallelRequests=1),
    _key("over", NOTHING, expires="2026-01-01T00:00:00Z"),
)


def _settings(served: Served, keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The committed ones, with two pods of every part that has no state."""
    committed = served.committed_gateway()
    router = {**committed["router"], "replicas": 2}
    return {**committed, "replicas": {"min": 2, "max": 2}, "router": router, "keys": list(keys)}


@pytest.fixture(scope="module")
def gateway(stand_in: Served) -> Iterator[GatewayClient]:
    """A client of the gateway; the other tests have the engine to themselves again."""
    stand_in.change_gateway(_settings(stand_in, KEYS))
    stand_in.open()
    stand_in.up()
    client = GatewayClient(stand_in, client_key(stand_in.runner.state).text)
    wait_until(lambda: _answers(client), 120, "the gateway answers")
    yield client
    stand_in.change_gateway(None)
    stand_in.open()
    stand_in.up()
    wait_until(stand_in.answers, 60, "the engine is asked itself")


def _answers(client: GatewayClient) -> bool:
    try:
        return client.chat().status == 200
    except (OSError, http.client.HTTPException):  # its Service leads to nobody yet
        return False


def _asked(client: GatewayClient) -> float:
    """Requests that engines have finished."""
    served = client.served
    return sum(GuardedEngine(served, pod).metric("vllm:request_success_total") for pod in served.pods())


def _engine(client: GatewayClient) -> GuardedEngine:
    (pod,) = client.served.pods()
    return GuardedEngine(client.served, pod)


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        (None, {}, 401),
        ("sk-llm-wrong", {}, 401),
        (NOTHING, {}, 401),
        ("", {"model": "unknown"}, 404),
        ("", {"messages": "a text"}, 400),
        ("", {"max_tokens": "many"}, 400),
        ("", {"messages": [{"role": "user", "content": "x" * 5_000_000}]}, 413),
    ],
    ids=["no key", "wrong key", "expired key", "unknown model", "messages", "max_tokens", "too large"],
)
def test_what_is_refused_reaches_no_engine(
    gateway: GatewayClient, key: str | None, body: dict[str, Any], status: int
) -> None:
    before = _asked(gateway)
    answer = replace(gateway, key=gateway.key if key == "" else key).chat(**body)
    assert answer.status == status, answer.body
    assert answer.error["message"]
    assert "Traceback" not in answer.body
    assert _asked(gateway) == before


@pytest.mark.parametrize("path", ["/", "/key/generate", "/config", "/ui", "/metrics", "/v1/files", "/docs"])
def test_there_is_no_other_path(gateway: GatewayClient, path: str) -> None:
    assert gateway.get(path).status == 404


def test_an_answer_names_its_release_and_a_stream_has_as_many_tokens(gateway: GatewayClient) -> None:
    answer = gateway.chat(max_tokens=3)
    release = gateway.served.model()["releases"]["stable"]
    assert answer.headers["x-llm-release"] == release
    assert answer.json()["usage"]["completion_tokens"] == 3
    assert [model["id"] for model in gateway.get("/v1/models").json()["data"]] == [MODEL]
    words = [event["choices"][0]["delta"].get("content") for event in gateway.events(max_tokens=3) if event["choices"]]
    assert len([word for word in words if word]) == 3


def test_the_same_request_of_the_same_key_is_answered_once(gateway: GatewayClient) -> None:
    first, second = (gateway.chat(seed=1_000_000) for _ in range(2))
    assert [answer.headers["x-llm-cache"] for answer in (first, second)] == ["miss", "hit"]
    assert first.json()["choices"] == second.json()["choices"]


def test_a_token_is_passed_on_when_it_is_there(gateway: GatewayClient) -> None:
    """Nothing on the way keeps the beginning of a stream until its end."""
    engine = _engine(gateway)
    stream = gateway.events(max_tokens=2000)
    assert next(stream)
    engine.tell("hold")
    try:
        assert engine.metric("vllm:num_requests_running") == 1
    finally:
        engine.tell("release")
    assert sum(1 for event in stream if event["choices"]) >= 1999


def test_a_limit_of_requests_holds_over_all_replicas(gateway: GatewayClient) -> None:
    assert len(parts(gateway.served, GATEWAY)) == 2
    client = replace(gateway, key=FEW_A_MINUTE)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.chat(), range(12)))
    assert Counter(answer.status for answer in answers) == {200: 5, 429: 7}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status == 429)


def test_a_limit_of_requests_at_once_holds_over_all_replicas(gateway: GatewayClient) -> None:
    client = replace(gateway, key=ONE_AT_ONCE)
    engine = _engine(gateway)
    stream = client.events(max_tokens=2000)
    engine.tell("hold")
    try:
        running = threading.Thread(target=lambda: list(stream), daemon=True)
        running.start()
        wait_until(lambda: engine.metric("vllm:num_requests_running") == 1, 60, "the engine has the first")
        assert {client.chat().status for _ in range(6)} == {429}
    finally:
        engine.tell("release")
    running.join()
    wait_until(lambda: client.chat().status == 200, 60, "its place is free again")


def test_a_new_key_and_a_removed_one_restart_nothing(gateway: GatewayClient) -> None:
    served = gateway.served
    before = {pod["metadata"]["uid"] for component in (GATEWAY, PROXY) for pod in parts(served, component)}
    served.change_gateway(_settings(served, [*KEYS[1:], _key("later", LATER)]))
    served.open()
    served.up()
    # The kubelet brings the Secret's new content into the pods within its period of a minute.
    wait_until(lambda: _statuses(replace(gateway, key=LATER)) == {200}, 240, "both replicas know the new key")
    wait_until(lambda: _statuses(replace(gateway, key=FEW_A_MINUTE)) == {401}, 240, "neither knows the removed one")
    assert {pod["metadata"]["uid"] for component in (GATEWAY, PROXY) for pod in parts(served, component)} == before


def _statuses(client: GatewayClient) -> set[int]:
    return {client.chat().status for _ in range(8)}


@pytest.mark.parametrize("component", ["redis-limits", "redis-cache", GATEWAY, PROXY, ROUTER])
def test_a_part_that_goes_costs_no_request(gateway: GatewayClient, component: str) -> None:
    served = gateway.served
    namespace = TEAM if component == ROUTER else NAMESPACE
    before = parts(served, component, namespace)
    with steady_load(gateway) as outcomes:
        wait_until(lambda: len(outcomes) >= 3, 120, "requests are answered")
        served.kubernetes().delete(before[0])
        wait_until(lambda: _is_replaced(gateway, component, namespace, before), 240, "another is ready in its place")
        count = len(outcomes)
        wait_until(lambda: len(outcomes) >= count + 3, 120, "requests are answered")
    assert set(outcomes) == {200}


def _is_replaced(client: GatewayClient, component: str, namespace: str, before: list[dict[str, Any]]) -> bool:
    gone = before[0]["metadata"]["uid"]
    pods = parts(client.served, component, namespace)
    return len(pods) == len(before) and all(pod["metadata"]["uid"] != gone and is_ready(pod) for pod in pods)


def test_a_canary_that_fails_every_request_costs_clients_nothing(gateway: GatewayClient) -> None:
    served = gateway.served
    stable = served.model()["releases"]["stable"]
    served.change(lambda model: model.update(releases={"stable": stable, "canary": {"release": CANARY, "weight": 50}}))
    served.up()
    wait_until(lambda: {stable, CANARY} == _releases(gateway), 240, "both releases answer")
    (pod,) = (pod for pod in served.pods() if pod["metadata"]["labels"]["llm-serving.dev/release"] == CANARY)
    GuardedEngine(served, pod).tell("fail")
    answers = [gateway.chat() for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-llm-release"] for answer in answers} == {stable}
    served.change(lambda model: model.update(releases={"stable": stable}))
    served.up()
    wait_until(lambda: len(served.pods(ending=True)) == 1, 240, "the canary has gone")


def _releases(client: GatewayClient) -> set[str]:
    answers = [client.chat() for _ in range(8)]
    return {answer.headers.get("x-llm-release", "") for answer in answers}


def test_what_measures_an_engine_by_itself_says_that_a_gateway_is_before_it(gateway: GatewayClient) -> None:
    with pytest.raises(SystemExit, match="leave llm-serving:gateway out"):
        running_engine(gateway.served.node)


def test_an_engine_takes_requests_from_its_router_alone(gateway: GatewayClient) -> None:
    """This machine is a client of the gateway, and of nothing behind it."""
    served = gateway.served
    router = parts(served, ROUTER, TEAM)[0]
    for address in (f"http://{router['status']['podIP']}:8000", served.base()):
        with pytest.raises(OSError, match=r"timed out|refused|unreachable"):
            served.ask("/v1/models", base=address, timeout=5)
