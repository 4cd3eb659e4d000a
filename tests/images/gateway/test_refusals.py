"""Every refusal has its status and OpenAI's error object, says nothing of the inside, and reaches no engine."""

import json

import pytest
import requests

from tests.images.gateway.backend import Behaviour
from tests.images.gateway.conftest import CHAT, KEYS
from tests.images.gateway.pods import GUARD_SECONDS, key, wait_until, write_keys

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def nothing_reached(weighted, stable):
    yield
    assert weighted.requests == stable.requests == []


def refused(answer: requests.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert not any(word in answer.text.lower() for word in ("litellm", "traceback", "vllm", "http://", "exception"))
    assert (status in (429, 503)) == ("retry-after" in answer.headers)
    return error


@pytest.mark.usefixtures("nothing_reached")
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer sk-llm-wrong", "Basic c2s6bGxt", "sk-llm-any"])
def test_without_a_key_that_counts_it_is_401(pod, authorization):
    headers = {} if authorization is None else {"authorization": authorization}
    answer = pod.post(CHAT, {"model": "tiny", "messages": HI}, None, headers=headers)
    refused(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.usefixtures("nothing_reached")
def test_an_expired_key_and_models_of_others_are_refused(pod):
    expired = key("expired", expires="2020-01-01T00:00:00Z")
    write_keys(pod.folder, [*KEYS, expired, key("narrow", models=["second"])])
    wait_until(lambda: pod.post(CHAT, {}, "narrow").status_code == 400, "the new keys")
    refused(pod.chat("expired"), 401)
    assert refused(pod.chat("narrow"), 403)["code"] == "model_not_allowed"
    listed = requests.get(f"{pod.url}/v1/models", headers={"authorization": "Bearer sk-llm-narrow"}, timeout=60).json()
    assert [model["id"] for model in listed["data"]] == ["second"]


@pytest.mark.usefixtures("nothing_reached")
@pytest.mark.parametrize("path", [CHAT, "/v1/models/nothing"])
def test_an_unknown_model_is_404(pod, path):
    if path == CHAT:
        answer = pod.post(path, {"model": "nothing", "messages": HI})
    else:
        answer = requests.get(f"{pod.url}{path}", headers={"authorization": "Bearer sk-llm-any"}, timeout=60)
    assert refused(answer, 404)["code"] == "model_not_found"


@pytest.mark.usefixtures("nothing_reached")
@pytest.mark.parametrize(
    "path",
    [
        "/", "/key/generate", "/key/info", "/user/new", "/config/yaml", "/mcp", "/mcp/tools", "/ui", "/docs", "/redoc",
        "/openapi.json", "/metrics", "/health", "/routes", "/model/info", "/v1/responses", "/v1/uploads",
        "/v1/messages", "/chat/completions", "/v1/chat/completions/", "//v1/chat/completions", "/v1/../key/info",
        "/v1/chat%2Fcompletions/x", "/openai/deployments/tiny/chat/completions", "/v1/modelsx",
    ],
)  # fmt: skip
def test_no_other_path_is_there(pod, path):
    for method in ("GET", "POST"):
        request = requests.Request(method, pod.url, headers={"authorization": "Bearer sk-llm-any"}, json={}).prepare()
        request.url = pod.url + path
        with requests.Session() as session:
            refused(session.send(request, timeout=GUARD_SECONDS), 404)


@pytest.mark.usefixtures("nothing_reached")
def test_a_body_that_is_too_large_is_413_with_and_without_its_length(pod):
    large = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x" * 100_000}]})
    headers = {"authorization": "Bearer sk-llm-any"}
    for body in (large, iter([large.encode()])):
        refused(requests.post(f"{pod.url}{CHAT}", data=body, headers=headers, timeout=GUARD_SECONDS), 413)


@pytest.mark.usefixtures("nothing_reached")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("{", None),
        ("[]", None),
        ('{"model": NaN}', None),
        ("[" * 5000, None),
        ({"model": "tiny"}, "messages"),
        ({"messages": HI}, "model"),
        ({"model": ["tiny"], "messages": HI}, "model"),
        ({"model": "tiny", "messages": "hi"}, "messages"),
        ({"model": "tiny", "messages": []}, "messages"),
        ({"model": "tiny", "messages": [{"content": "hi"}]}, "messages.0.role"),
        ({"model": "tiny", "messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"model": "tiny", "messages": HI, "max_tokens": "abc"}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "max_tokens": 0}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "max_tokens": True}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "max_tokens": 1.5}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "max_tokens": 513}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "max_completion_tokens": 513}, "max_completion_tokens"),
        ({"model": "tiny", "messages": HI, "max_completion_tokens": 5, "max_tokens": 513}, "max_tokens"),
        ({"model": "tiny", "messages": HI, "temperature": {}}, "temperature"),
        ({"model": "tiny", "messages": HI, "temperature": 3}, "temperature"),
        ({"model": "tiny", "messages": HI, "stream": "yes"}, "stream"),
        ({"model": "tiny", "messages": HI, "n": -1}, "n"),
        ({"model": "tiny", "messages": HI, "api_base": "http://elsewhere"}, "api_base"),
        ({"model": "tiny", "messages": HI, "mock_response": "x"}, "mock_response"),
        ({"model": "tiny", "messages": HI, "fallbacks": ["second"]}, "fallbacks"),
        ({"model": "tiny", "messages": HI, "priority": -1}, "priority"),
        ({"model": "vectors", "messages": HI}, "model"),
    ],
)
def test_what_no_engine_could_answer_is_400_with_the_field_to_blame(pod, body, param):
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"authorization": "Bearer sk-llm-any"}
    answer = requests.post(f"{pod.url}{CHAT}", data=text, headers=headers, timeout=GUARD_SECONDS)
    assert refused(answer, 400)["param"] == param


@pytest.mark.usefixtures("nothing_reached")
def test_a_prompt_that_cannot_fit_into_the_context_is_400(pod):
    words = " ".join(f"word{number}" for number in range(5000))
    long = pod.chat(messages=[{"role": "user", "content": words}])
    assert refused(long, 400)["code"] == "context_length_exceeded"
    numbers = pod.post("/v1/completions", {"model": "tiny", "prompt": list(range(2000)), "max_tokens": 100})
    assert refused(numbers, 400)["code"] == "context_length_exceeded"


def test_max_tokens_that_are_left_open_are_set_where_the_context_allows_more(pod, weighted):
    answer = pod.post("/v1/completions", {"model": "tiny", "prompt": "hi"})
    assert answer.status_code == 200
    assert weighted.requests[-1][2]["max_tokens"] == 512
    # With a prompt that may fill the context, an engine ends the answer itself.
    assert pod.post("/v1/completions", {"model": "tiny", "prompt": "hi, " * 1500}).status_code == 200
    assert "max_tokens" not in weighted.requests[-1][2]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_when_all_back_ends_fail_it_is_503_with_retry_after(pod, weighted, stable, status):
    for backend in (weighted, stable):
        backend.behaviour.status = status
    refused(pod.chat(), 503)
    refused(pod.chat(stream=True), 503)
    assert weighted.requests


def test_what_the_engine_refuses_is_400_in_our_words(pod, weighted, stable):
    for backend in (weighted, stable):
        backend.behaviour.status = 400
    assert "10.0.0.7" not in refused(pod.chat(), 400)["message"]
    for backend in (weighted, stable):
        backend.behaviour.error = {"error": {"message": "This model's maximum context length is 2048 tokens."}}
    assert refused(pod.chat(), 400)["code"] == "context_length_exceeded"


def test_a_stream_that_breaks_off_says_so(pod, weighted):
    weighted.behaviour.breaks_after = 2
    lines = [line.removeprefix("data: ") for line in pod.chat(stream=True).text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    assert json.loads(lines[-2])["error"]["code"] == "backend_unavailable"


def test_every_answer_tells_browsers_to_keep_out(pod):
    for answer in (pod.chat(), pod.chat(None), requests.get(f"{pod.url}/ui", timeout=60)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_prompts_answers_and_keys_are_in_no_log(pod, weighted, stable, redis):
    """Whatever comes of a request: an answer, a refusal of ours, of an engine, a failure, a stream that breaks off."""
    marker = "my-secret-prompt"
    both = (weighted, stable)
    marked = {"messages": [{"role": "user", "content": marker}]}
    paths = {
        CHAT: {"model": "tiny", **marked},
        "/v1/completions": {"model": "tiny", "prompt": marker},
        "/v1/embeddings": {"model": "vectors", "input": marker},
        "/v1/rerank": {"model": "scores", "query": marker, "documents": [marker]},
    }

    def everything():
        for path, body in paths.items():
            pod.post(path, body)
        for body in (*list(paths.values())[:2],):
            pod.post(CHAT if "messages" in body else "/v1/completions", {**body, "stream": True})

    for behaviour in (
        Behaviour(text=lambda body: f"{marker} again"),
        Behaviour(status=500, error={"error": {"message": marker}}),
        Behaviour(status=400, error={"error": {"message": f"odd: {marker}", "code": 400}}),
        Behaviour(status=400, error={"error": {"message": f"maximum context length: {marker}"}}),
        Behaviour(breaks_after=1, text=lambda body: f"{marker} again"),
        Behaviour(ends_with={"error": {"message": marker}}, breaks_after=1, text=lambda body: f"{marker} again"),
    ):
        for backend in both:
            backend.behaviour = behaviour
        everything()
    headers = {"authorization": "Bearer sk-llm-any"}
    requests.post(f"{pod.url}{CHAT}", data="{" + marker, headers=headers, timeout=GUARD_SECONDS)
    for wrong in (
        {"messages": [{"role": "user", "content": [marker]}]},
        {marker: 1, **marked},
        {"max_tokens": marker, **marked},
        {"model": marker, **marked},
        {"messages": [{"role": "user", "content": f"{marker} " * 6000}]},
        {"messages": [{"role": "user", "content": [{"type": marker, "image_url": marker}]}]},
    ):
        pod.post(CHAT, {"model": "tiny", **wrong})
    requests.post(f"{pod.url}{CHAT}", json={"model": "tiny", **marked}, headers={"authorization": marker}, timeout=60)
    for log in (pod.log, (redis.folder / "log").read_text()):
        assert not any(word in log for word in (marker, "sk-llm-any"))
