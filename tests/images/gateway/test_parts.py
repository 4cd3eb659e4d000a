"""What a client can make the gateway do costs it little: memory, connections, work for each byte."""

import json
import subprocess
from pathlib import Path

from llm_serving_gateway import guardrails
from llm_serving_gateway.tokens import measure

from tests.images.gateway.environment import GATEWAY, SOURCES

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HI = [{"role": "user", "content": "hi"}]
MANY = 100_000


def run(part, given, program="parts.py"):
    """What this part of the gateway makes of it, run by that program."""
    process = subprocess.run(
        [GATEWAY.interpreter(), Path(__file__).with_name(program), part],
        input=json.dumps(given),
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_of_a_body_with_many_wrong_parts_few_errors_are_kept():
    wrong = {f"{number}": "x" for number in range(MANY)}
    bodies = {
        "x0": (CHAT, {"model": "m", "messages": HI, **{f"x{number}": 1 for number in range(MANY)}}),
        "messages.0": (CHAT, {"model": "m", "messages": [1] * MANY}),
        "messages.0.role": (CHAT, {"model": "m", "messages": [{}] * MANY}),
        "messages.0.content": (CHAT, {"model": "m", "messages": [{"role": "user", "content": [1] * MANY}]}),
        "tools.0": (CHAT, {"model": "m", "messages": HI, "tools": [1] * MANY}),
        "cache": (CHAT, {"model": "m", "messages": HI, "cache": wrong}),
        "logit_bias": (CHAT, {"model": "m", "messages": HI, "logit_bias": wrong}),
        "stop": (CHAT, {"model": "m", "messages": HI, "stop": [1] * MANY}),
        "prompt": (COMPLETIONS, {"model": "m", "prompt": [1.5] * MANY}),
        "prompt ": (COMPLETIONS, {"model": "m", "prompt": [[1.5] * 3] * MANY}),
        "documents.0": ("/v1/rerank", {"model": "m", "query": "q", "documents": [1] * MANY}),
    }
    found = run("refuse", list(bodies.values()))
    assert len(found) == len(bodies)
    for wanted, (param, errors) in zip(bodies, found, strict=True):
        assert param.startswith(wanted.strip()), param
        assert errors <= 10, wanted


def test_values_of_dictionaries_are_still_looked_at():
    good = {"logit_bias": {"5": -1, "7": 2.5}, "cache": {"no-cache": True}}
    wrong = [{"logit_bias": {"5": True}}, {"logit_bias": {"5": "1"}}, {"cache": {"no-cache": 1}}]
    bodies = [(CHAT, {"model": "m", "messages": HI, **fields}) for fields in (good, *wrong)]
    assert run("refuse", bodies) == [["logit_bias", 1], ["logit_bias", 1], ["cache", 1]]


def test_the_question_of_many_documents_is_measured_once_and_counts_for_each():
    encoded = []

    class Question(str):
        __slots__ = ()

        def encode(self, encoding="utf-8", errors="strict"):
            encoded.append(self)
            return super().encode(encoding, errors)

    size = measure({"query": Question("q" * 40), "documents": ["d" * 4] * 1000})
    assert size.estimate == 1000 * (40 + 4) // 4
    assert len(encoded) <= 2


def test_a_client_that_leaves_while_its_answer_is_settled_stops_nothing():
    assert run("leave", None) == [200]


def test_a_client_that_does_not_read_is_left_after_a_while():
    assert run("stall", None) == [499]


def test_more_operations_than_connections_wait_and_redis_is_not_away(redis):
    assert run("redis", redis.port) == [300, False]


def test_many_slow_uploads_hold_no_more_bytes_than_one_gateway_may():
    taken, refused, most, after = run("upload", {"clients": 50, "size": 10_000, "most": 95_000})
    assert taken + refused == 50
    assert 1 <= taken <= 9
    assert most <= 95_000
    assert after == 0


def test_a_request_at_which_every_worker_dies_is_a_dead_letter_after_its_last_delivery(redis):
    # The first worker, which was only late, has no say any more.
    assert run("die", redis.port) == [4, False, "failed", "deliveries_exhausted"]


def test_a_worker_that_has_no_keys_yet_takes_nothing(redis):
    assert run("keyless", redis.port) == ["queued", "in_progress"]


def test_a_webhook_is_signed_and_goes_to_the_address_that_was_looked_at_and_to_no_other():
    hosts = {
        "hooks.example.com": ["127.0.0.1"],
        "private.example.com": ["10.0.0.7"],
        "mixed.example.com": ["127.0.0.1", "10.0.0.7"],
        "another.example.com": ["127.0.0.1"],
    }
    found = run("webhook", hosts)
    # Not where it was redirected to; and the certificate of the last but one is that of another host.
    assert found["received"] == ["POST /a?b=c HTTP/1.1", "POST /moved HTTP/1.1"]
    # The last one has a name that nobody can look up.
    assert found["sent"] == [True, False, False, False, False, False, False]
    assert found["signed"]
    assert found["given up"]
    assert found["another's secret"]
    assert (found["body"]["type"], found["body"]["data"]) == (
        "request.completed",
        {"id": "r1", "status": "completed"},
    )
    assert found["accepted"] == ["https://a.example.com/"]
    assert found["public"] == ["93.184.215.14", "2606:2800:21f:cb07::1"]


def test_who_waits_for_room_is_let_in_by_class_and_then_by_arrival():
    waiting = ["batch", "standard", "batch", "critical", "standard", "critical"]
    order = ["critical 3", "critical 5", "standard 1", "standard 4", "batch 0", "batch 2"]
    assert run("room", waiting) == order


def test_long_texts_are_looked_at_beside_what_else_the_gateway_does():
    here, beside = [[False], [False, "blocked"]], [[True], [True, "blocked"]]
    assert run("long", [100, guardrails.LONG]) == [*here, *beside]
