"""What passes the gateway comes back as the engine said it."""

import json

import pytest
import requests


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"model": "tiny", "prompt": "hi", "top_k": 3}),
        ("/v1/embeddings", {"model": "vectors", "input": ["hi"]}),
        ("/v1/rerank", {"model": "scores", "query": "hi", "documents": ["a", "b"]}),
    ],
)
def test_each_path_is_answered_by_its_model_and_nothing_names_a_back_end(pod, weighted, path, body):
    answer = pod.post(path, body)
    assert answer.status_code == 200, answer.text
    ((asked, headers, sent),) = weighted.requests
    assert asked == path
    assert sent["model"] == body["model"]
    assert "sk-llm-any" not in str(headers)
    assert not [name for name in answer.headers if "litellm" in name.lower() or "provider" in name.lower()]
    assert weighted.url not in answer.text + str(answer.headers)


def test_a_stream_ends_with_its_usage_only_for_who_asks(pod):
    def events(**fields):
        answer = pod.chat(stream=True, **fields)
        assert answer.headers["x-llm-release"] == "canary"
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert lines.pop() == "[DONE]"
        return [json.loads(line) for line in lines]

    plain = events()
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in plain) == "w0 w1 w2 w3 w4 "
    assert not any("usage" in event for event in plain)
    usage = [event["usage"] for event in events(stream_options={"include_usage": True}) if event.get("usage")]
    assert usage[-1]["total_tokens"] == 22


def test_a_stream_of_many_equal_chunks_comes_whole(pod, weighted):
    weighted.behaviour.text = lambda body: "ab " * 150
    lines = [line.removeprefix("data: ") for line in pod.chat(stream=True).text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    assert "".join(delta.get("content") or "" for delta in deltas) == "ab " * 150


def test_a_key_without_a_list_of_models_sees_all(pod, configuration):
    listed = requests.get(f"{pod.url}/v1/models", headers={"authorization": "Bearer sk-llm-any"}, timeout=60).json()
    assert [model["id"] for model in listed["data"]] == [model["name"] for model in configuration["models"]]
