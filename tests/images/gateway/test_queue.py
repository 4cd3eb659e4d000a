"""Requests without a connection: real gateways, real workers and a real Redis, before an engine that waits as told."""

import json
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.images.gateway.backend import Backend, Behaviour
from tests.images.gateway.conftest import KEYS, MAX_QUEUED, give_keys
from tests.images.gateway.environment import GATEWAY
from tests.images.gateway.pods import GUARD_SECONDS, Pod, Redis, key, start, stop, wait_ready, wait_until, write_keys

REQUESTS = "/v1/queue/requests"
CHAT = "/v1/chat/completions"
IN_FLIGHT = 'llm_gateway_requests_in_flight{model="tiny"}'
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12}
QUEUE = "llm:{queue}"


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, configuration: Mapping[str, Any], pods: Sequence[Pod]
) -> Iterator[list[Pod]]:
    """Two workers."""
    running: list[Pod] = []
    try:
        for name in ("a", "b"):
            running.append(start(tmp_path_factory.mktemp(f"worker-{name}"), configuration, KEYS, "worker"))
        for worker in running:
            wait_ready(worker)
        yield running
    finally:
        for worker in running:
            stop(worker)


@pytest.fixture
def workers(started: list[Pod], pod: Pod, redis: Redis) -> Iterator[list[Pod]]:
    """Those that run, with the first keys and nothing to do."""
    redis.command("FLUSHALL")
    for worker in alive(started):
        write_keys(worker.folder, KEYS)
    yield started
    for worker in alive(started):
        worker.thaw()


def alive(workers: Sequence[Pod]) -> list[Pod]:
    return [worker for worker in workers if worker.process.poll() is None]


def give(pods: Sequence[Pod], workers: Sequence[Pod], *more: Mapping[str, Any]) -> None:
    """Let these keys count, in gateways and workers."""
    give_keys(pods, *more)
    for worker in alive(workers):
        write_keys(worker.folder, [*KEYS, *more])
        wait_until(lambda worker=worker: worker.metrics()["llm_gateway_keys"] == len(KEYS) + len(more), "the keys")


@contextmanager
def frozen(workers: Sequence[Pod]) -> Iterator[None]:
    for worker in alive(workers):
        worker.freeze()
    try:
        yield
    finally:
        for worker in alive(workers):
            worker.thaw()


def submit(pod: Pod, name: str = "any", request_id: str | None = None, **fields: Any) -> requests.Response:
    body = {"endpoint": CHAT, "body": {**BODY, **fields}}
    return pod.post(REQUESTS, body | ({} if request_id is None else {"request_id": request_id}), name)


def shown(pod: Pod, request_id: str, name: str = "any") -> Mapping[str, Any]:
    answer = pod.get(f"{REQUESTS}/{request_id}", name)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(pod: Pod, request_id: str, name: str = "any") -> Mapping[str, Any]:
    def over() -> bool:
        return shown(pod, request_id, name)["status"] not in ("queued", "in_progress")

    wait_until(over, f"the end of {request_id}")
    return shown(pod, request_id, name)


def line(custom_id: str, **fields: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {**BODY, **fields}})


def upload(pod: Pod, *lines: str, name: str = "any") -> requests.Response:
    headers = {"authorization": f"Bearer sk-llm-{name}"}
    files = {"file": ("lines.jsonl", "\n".join(lines).encode())}
    url = f"{pod.url}/v1/files"
    return requests.post(url, data={"purpose": "batch"}, files=files, headers=headers, timeout=GUARD_SECONDS)


def batch_of(pod: Pod, *lines: str, name: str = "any") -> str:
    file = upload(pod, *lines, name=name).json()["id"]
    created = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    answer = pod.post("/v1/batches", created, name)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def batch_ended(pod: Pod, batch: str) -> Mapping[str, Any]:
    def over() -> bool:
        return pod.get(f"/v1/batches/{batch}").json()["status"] not in ("validating", "in_progress", "cancelling")

    wait_until(over, f"the end of {batch}")
    return pod.get(f"/v1/batches/{batch}").json()


def content(pod: Pod, file: str) -> list[Any]:
    return [json.loads(each) for each in pod.get(f"/v1/files/{file}/content").text.splitlines()]


def is_empty(redis: Redis) -> bool:
    """Whether nothing waits or is worked on: neither task nor entry of a stream."""
    names = (f"{QUEUE}:open", f"{QUEUE}:delayed")
    streams = (f"{QUEUE}:requests", f"{QUEUE}:lines")
    return all(redis.command("ZCARD", name) == ":0" for name in names) and all(
        redis.command("XLEN", name) == ":0" for name in streams
    )


def test_a_request_is_answered_without_a_connection_and_read_on_every_replica(pods, pod, workers, redis):
    answer = submit(pod, request_id="first")
    assert answer.status_code == 202
    assert answer.json()["status"] in ("queued", "in_progress", "completed")
    # Sent once more, as by a client that did not see the answer: it is the same request.
    assert submit(pods[1], request_id="first").json()["created_at"] == answer.json()["created_at"]
    done = ended(pods[1], "first")
    assert (done["status"], done["response"]["status_code"], done["deliveries"]) == ("completed", 200, 1)
    assert done["response"]["body"]["choices"][0]["message"]["content"] == "hello"
    other = submit(pod, request_id="first", max_tokens=13)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "request_id_in_use")
    assert is_empty(redis)


def test_a_worker_that_is_killed_in_the_middle_of_a_task_costs_nothing_and_its_result_is_there_once(
    pod, workers, weighted, redis
):
    weighted.behaviour.hold = threading.Event()
    dying, other = workers
    other.freeze()
    batch = batch_of(pod, line("one"))
    wait_until(lambda: len(weighted.requests) == 1, "the request of the first worker")
    dying.process.kill()
    dying.process.wait(GUARD_SECONDS)
    other.thaw()
    wait_until(lambda: len(weighted.requests) == 2, "the request of the other worker")
    weighted.behaviour.hold.set()
    found = batch_ended(pod, batch)
    assert (found["status"], found["request_counts"]) == ("completed", {"total": 1, "completed": 1, "failed": 0})
    assert [each["custom_id"] for each in content(pod, found["output_file_id"])] == ["one"]
    assert is_empty(redis)
    assert other.metrics()["llm_gateway_queue_redelivered_total"] >= 1
