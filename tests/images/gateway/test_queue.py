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

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.conftest import KEYS, MAX_QUEUED, give_keys
from tests.images.gateway.environment import GATEWAY
from tests.images.gateway.pods import GUARD_SECONDS, Pod, Redis, key, serving, start, wait_until, write_keys
from tests.images.gateway.postgres import Postgres

REQUESTS = "/v1/queue/requests"
CHAT = "/v1/chat/completions"
IN_FLIGHT = 'llm_gateway_requests_in_flight{model="tiny"}'
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 12}
QUEUE = "llm:{queue}"
DEEP = json.loads('{"a":' * 300 + "1" + "}" * 300)
"""What is read, and cannot be written again."""


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory,
    configuration: Mapping[str, Any],
    pods: Sequence[Pod],
    postgres: Postgres,
) -> Iterator[list[Pod]]:
    """Two workers."""

    def begin(folder: Path) -> Pod:
        return start(folder, configuration, KEYS, "worker", postgres=postgres.files_of_a_pod())

    with serving(begin, [tmp_path_factory.mktemp(f"worker-{name}") for name in ("a", "b")]) as begun:
        yield begun


@pytest.fixture
def workers(started: list[Pod], pod: Pod, redis: Redis) -> Iterator[list[Pod]]:
    """Those that run, with the first keys and nothing to do."""
    redis.command("FLUSHALL")
    for worker in alive(started):
        # Read by now, so that a test knows by their number when a worker has read its own.
        give_worker(worker, KEYS)
    yield started
    for worker in alive(started):
        worker.thaw()


def alive(workers: Sequence[Pod]) -> list[Pod]:
    return [worker for worker in workers if worker.process.poll() is None]


def give(pods: Sequence[Pod], workers: Sequence[Pod], *more: Mapping[str, Any]) -> None:
    """Let these keys count, in gateways and workers."""
    give_keys(pods, *more)
    for worker in alive(workers):
        give_worker(worker, [*KEYS, *more])


def give_worker(worker: Pod, keys: Sequence[Mapping[str, Any]]) -> None:
    write_keys(worker.folder, keys)
    wait_until(lambda: worker.metrics()["llm_gateway_keys"] == len(keys), "the keys")


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
    assert (done["status"], done["response"]["status_code"]) == ("completed", 200)
    assert done["response"]["body"]["choices"][0]["message"]["content"] == "hello"
    other = submit(pod, request_id="first", max_tokens=13)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "request_id_in_use")
    assert is_empty(redis)


def test_nothing_of_another_keys_is_there(pods, pod, workers):
    give(pods, workers, key("other"))
    submit(pod, request_id="mine")
    ended(pod, "mine")
    batch = batch_of(pod, line("one"))
    found = batch_ended(pod, batch)
    paths = [f"{REQUESTS}/mine", f"/v1/batches/{batch}"]
    files = [f"/v1/files/{found[file]}" for file in ("input_file_id", "output_file_id")]
    for path in [*paths, *files, *(f"{file}/content" for file in files)]:
        assert (pod.get(path).status_code, pod.get(path, "other").status_code) == (200, 404), path
        assert pod.get(path, None).status_code == 401
    for path in paths:
        assert pod.post(f"{path}/cancel", {}, "other").status_code == 404
    stolen = {"input_file_id": found["input_file_id"], "endpoint": CHAT, "completion_window": "24h"}
    assert pod.post("/v1/batches", stolen, "other").status_code == 400
    for path in ("/v1/files", "/v1/batches"):
        assert pod.get(path).json()["data"]
        assert pod.get(path, "other").json()["data"] == []
    # A line of a batch is a task like any other, and no request of anybody's.
    assert pod.get(f"{REQUESTS}/{batch}.0").status_code == 404
    assert pod.get(f"{REQUESTS}/{batch}").status_code == 404


def test_a_request_that_waits_and_one_that_runs_are_cancelled(pod, workers, weighted):
    with frozen(workers):
        submit(pod, request_id="waits")
        assert pod.post(f"{REQUESTS}/waits/cancel", {}).json()["status"] == "cancelled"
    weighted.behaviour.hold = threading.Event()
    submit(pod, request_id="runs")
    wait_until(lambda: len(weighted.requests) == 1, "the request")
    assert pod.post(f"{REQUESTS}/runs/cancel", {}).json()["status"] == "cancelled"
    wait_until(lambda: all(each.metrics().get(IN_FLIGHT, 0) == 0 for each in alive(workers)), "the worker to give up")
    weighted.behaviour.hold.set()
    assert shown(pod, "runs")["response"] is None
    # What waited was never sent: the one after it was.
    submit(pod, request_id="after")
    assert ended(pod, "after")["status"] == "completed"
    assert len(weighted.requests) == 2


def test_a_batch_that_is_cancelled_ends_what_waits_and_what_runs(pod, workers, weighted, redis):
    weighted.behaviour.hold = threading.Event()
    batch = batch_of(pod, *(line(f"{number}") for number in range(10)))
    # Two workers of four each.
    wait_until(lambda: len(weighted.requests) == 8, "the requests that run")
    assert pod.post(f"/v1/batches/{batch}/cancel", {}).json()["status"] == "cancelled"
    weighted.behaviour.hold.set()
    wait_until(lambda: is_empty(redis), "the end")
    found = batch_ended(pod, batch)
    assert (found["output_file_id"], found["request_counts"]["completed"]) == (None, 0)
    assert len(weighted.requests) == 8


def test_a_worker_that_comes_back_after_its_task_was_given_away_changes_nothing(pod, workers, weighted):
    weighted.behaviour.hold = threading.Event()
    late, other = workers
    other.freeze()
    batch = batch_of(pod, line("one"))
    wait_until(lambda: len(weighted.requests) == 1, "the request of the first worker")
    late.freeze()
    other.thaw()
    wait_until(lambda: len(weighted.requests) == 2, "the request of the other worker")
    weighted.behaviour.hold.set()
    found = batch_ended(pod, batch)
    late.thaw()
    wait_until(lambda: late.metrics().get(IN_FLIGHT, 0) == 0, "the end of the late one")
    assert pod.get(f"/v1/batches/{batch}").json()["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    assert [each["custom_id"] for each in content(pod, found["output_file_id"])] == ["one"]


def test_what_no_back_end_answers_is_a_dead_letter_after_its_last_delivery(pod, workers, weighted, stable, redis):
    weighted.behaviour = stable.behaviour = Behaviour(status=500)
    submit(pod, request_id="fatal")
    found = ended(pod, "fatal")
    assert (found["status"], found["deliveries"], found["error"]["code"]) == ("failed", 3, "deliveries_exhausted")
    assert found["response"]["status_code"] == 503
    assert "secret internals" not in json.dumps(found)
    batch = batch_ended(pod, batch_of(pod, line("one")))
    assert (batch["status"], batch["request_counts"]["failed"]) == ("completed", 1)
    assert content(pod, batch["error_file_id"])[0]["response"]["status_code"] == 503
    assert redis.command("XLEN", f"{QUEUE}:dead") == ":2"
    weighted.behaviour = stable.behaviour = Behaviour()
    submit(pod, request_id="healthy")
    assert ended(pod, "healthy")["status"] == "completed"


def test_a_full_queue_is_429_and_what_is_in_it_is_answered(pod, workers, weighted, redis):
    with frozen(workers):
        names = [f"r{number}" for number in range(MAX_QUEUED)]
        assert [submit(pod, request_id=name).status_code for name in names] == [202] * MAX_QUEUED
        refused = submit(pod)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) > 0
        file = upload(pod, line("one")).json()["id"]
        batch = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        assert pod.post("/v1/batches", batch).status_code == 429
    assert {ended(pod, name)["status"] for name in names} == {"completed"}
    assert is_empty(redis)
    assert submit(pod).status_code == 202


def test_results_files_and_requests_that_nobody_answered_expire(pod, workers, redis):
    submit(pod, request_id="kept")
    ended(pod, "kept")
    batch = batch_ended(pod, batch_of(pod, line("one")))
    held = ["task:key:any/kept", f"batch:key:any/{batch['id']}"]
    held += [
        f"{kind}:key:any/{batch[file]}" for kind in ("file", "content") for file in ("input_file_id", "output_file_id")
    ]
    # Its lines never became tasks: no worker was there.
    redis.command("HSET", f"{QUEUE}:reserved", f"key:any/{batch['id']}", "1")
    for name in held:
        # Redis itself forgets each of them, also where no worker runs.
        assert 0 < int(redis.command("PTTL", f"{QUEUE}:{name}")[1:]) <= 2 * 86_400_000, name
        redis.command("PEXPIRE", f"{QUEUE}:{name}", "1")
        redis.command("ZADD", f"{QUEUE}:kept", "0", name)
    wait_until(lambda: pod.get(f"{REQUESTS}/kept").status_code == 404, "the end of the result")
    wait_until(lambda: pod.get(f"/v1/files/{batch['output_file_id']}").status_code == 404, "the end of the file")
    wait_until(lambda: redis.command("GET", f"{QUEUE}:bytes") == "0", "the end of what it took")
    assert redis.command("HLEN", f"{QUEUE}:reserved") == ":0"
    assert pod.get("/v1/batches").json()["data"] == pod.get("/v1/files").json()["data"] == []
    with frozen(workers):
        submit(pod, request_id="waits")
        redis.command("HSET", f"{QUEUE}:task:key:any/waits", "deadline", "1")
    found = ended(pod, "waits")
    assert (found["status"], found["error"]["code"]) == ("expired", "expired")


def test_the_limits_of_the_key_hold_for_its_requests_in_the_queue(pods, pod, workers, weighted):
    give(
        pods,
        workers,
        key("one", parallelRequests=1),
        key("sparing", budget={"tokens": 50}),
        key("narrow", models=["second"]),
    )
    weighted.behaviour.hold = threading.Event()
    names = [f"p{number}" for number in range(3)]
    for name in names:
        submit(pod, "one", name)
    wait_until(lambda: len(weighted.requests) == 1, "the first")
    refused = 'llm_gateway_limit_refusals_total{key="one",kind="parallel",model="tiny",team="chat"}'
    wait_until(lambda: sum(each.metrics().get(refused, 0) for each in workers) > 1, "the others to be sent back")
    assert len(weighted.requests) == 1
    weighted.behaviour.hold.set()
    # Waiting for a limit is no delivery: there are three, and each was sent back more often.
    assert [ended(pod, name, "one")["status"] for name in names] == ["completed"] * 3
    found = []
    for number in range(3):
        submit(pod, "sparing", f"b{number}")
        found.append(ended(pod, f"b{number}", "sparing"))
    assert [each["response"]["status_code"] for each in found] == [200, 200, 429]
    assert found[-1]["response"]["body"]["error"]["code"] == "budget_exceeded"
    assert submit(pod, "narrow").status_code == 403
    assert submit(pod, model="none").status_code == 404
    assert submit(pod, temperature=5).json()["error"]["param"] == "temperature"
    assert submit(pod, stream=True).status_code == 400
    assert submit(pod, response_format=DEEP).status_code == 400
    assert pod.post("/v1/batches", {"metadata": {}, "more": DEEP}).status_code == 400


def test_a_key_that_is_gone_when_its_request_is_taken_gets_nothing(pods, pod, workers, weighted):
    give(pods, workers, key("leaving"))
    with frozen(workers):
        submit(pod, "leaving", "late")
        for worker in workers:
            # Another key of its name is not it.
            write_keys(worker.folder, [*KEYS, {**key("following"), "name": "leaving"}, key("more")])
    for worker in workers:
        wait_until(lambda worker=worker: worker.metrics()["llm_gateway_keys"] == len(KEYS) + 2, "the keys")
    found = ended(pod, "late", "leaving")
    if found["status"] == "completed":  # it was taken before the worker read its keys again
        submit(pod, "leaving", "later")
        found = ended(pod, "later", "leaving")
    assert (found["status"], found["response"]["status_code"]) == ("failed", 401)


def test_a_key_that_workers_are_still_to_see_is_waited_for(pods, pod, workers, weighted, redis):
    give_keys(pods, key("early"))
    submit(pod, "early", "soon")
    wait_until(lambda: redis.command("ZCARD", f"{QUEUE}:delayed") == ":1", "a worker that does not know the key")
    for worker in workers:
        write_keys(worker.folder, [*KEYS, key("early")])
    assert ended(pod, "soon", "early")["status"] == "completed"


def test_openais_client_sends_a_batch_and_reads_its_results(pod, workers, weighted):
    weighted.behaviour.text = lambda body: f"to {body['messages'][0]['content']}"
    lines = [line(f"c{number}", messages=[{"role": "user", "content": f"{number}"}]) for number in range(6)]
    process = subprocess.run(
        [GATEWAY.interpreter(), Path(__file__).with_name("openai_batch.py"), f"{pod.url}/v1", "sk-llm-any"],
        input="\n".join([*lines, ""]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    found = json.loads(process.stdout)
    batch = found["batch"]
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
    assert batch["metadata"] == {"purpose": "a test"}
    answers = {
        each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in found["output"]
    }
    assert answers == {f"c{number}": f"to {number}" for number in range(6)}
    assert found["errors"] == []
    assert found["listed"] == [batch["id"]]
    assert found["files"] == [batch["input_file_id"]]
    assert (found["cancelled"], found["deleted"], found["after"]) == ("completed", True, "file_not_found")


def test_a_batch_with_a_wrong_line_says_which_and_sends_none(pod, workers, weighted):
    embedding = json.dumps({"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": BODY})
    wrong = [
        line("a"),
        "{",
        line("a"),
        embedding,
        line("d", model="none"),
        line("e", temperature=9),
        line("f", stream=True),
        line("g", response_format=DEEP),
    ]
    found = batch_ended(pod, batch_of(pod, *wrong))
    assert (found["status"], found["output_file_id"]) == ("failed", None)
    errors = [(each["line"], each["code"]) for each in found["errors"]["data"]]
    assert errors == [
        (2, "invalid_json"),
        (3, "duplicate_custom_id"),
        (4, "mismatched_endpoint"),
        (5, "model_not_found"),
        (6, "invalid_value"),
        (7, "invalid_value"),
        (8, "invalid_request"),
    ]
    assert not weighted.requests
    assert upload(pod).status_code == 400
    assert upload(pod, *(line(f"{number}") for number in range(101))).status_code == 400
    assert pod.post("/v1/files", {}).status_code == 400


def test_a_result_that_is_too_large_is_not_kept_and_its_request_has_failed(pod, workers, weighted):
    weighted.behaviour.text = lambda body: "x" * 30_000
    submit(pod, request_id="large")
    found = ended(pod, "large")
    assert (found["status"], found["response"]["body"]["error"]["code"]) == ("failed", "result_too_large")


def test_webhooks_go_to_allowed_hosts_alone_and_never_to_this_machine(pod, workers, redis):
    def asked(url: str) -> requests.Response:
        return pod.post(REQUESTS, {"endpoint": CHAT, "body": BODY, "webhook": url})

    for url in (
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com.evil.test/",
        "https://evil.test/hooks.example.com",
        "https://hooks.example.com@evil.test/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "hooks.example.com",
    ):
        assert asked(url).status_code == 400, url
    accepted = asked("https://localhost/").json()["id"]
    assert ended(pod, accepted)["status"] == "completed"
    failed = 'llm_gateway_queue_webhooks_total{outcome="failed"}'
    wait_until(lambda: sum(each.metrics().get(failed, 0) for each in alive(workers)) == 1, "the attempt")
    secret = pod.get("/v1/queue/webhook-secret").json()["secret"]
    assert secret.startswith("whsec_")


def test_a_worker_answers_nobody_and_prompts_and_results_are_in_no_log(pods, pod, workers, weighted):
    secret = f"prompt-{uuid.uuid4().hex}"
    weighted.behaviour.text = lambda body: "answer-" + body["messages"][0]["content"]
    submit(pod, request_id="quiet", messages=[{"role": "user", "content": secret}])
    assert secret in json.dumps(ended(pod, "quiet"))
    for path in (CHAT, REQUESTS, "/v1/models"):
        assert workers[0].post(path, {}).status_code == 404
    for each in (*pods, *workers):
        assert secret not in each.log


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
