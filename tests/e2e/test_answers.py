"""A newcomer's first requests are answered."""

import json
import urllib.error
from typing import Any

import pytest

from tests.e2e.served import MODEL, TEAM, VLLM, Served
from tests.engine.cluster.helpers import eventually


def test_a_chat_request_is_answered(served: Served) -> None:
    answer = served.chat()
    assert answer["model"] == MODEL
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 16


def test_a_stream_brings_the_same_text_in_parts(served: Served) -> None:
    whole = served.chat(temperature=0, seed=1)["choices"][0]["message"]["content"]
    chunks = [chunk["choices"][0]["delta"].get("content", "") for chunk in served.stream(temperature=0, seed=1)]
    assert len([chunk for chunk in chunks if chunk]) > 1
    assert "".join(chunks) == whole


def test_the_model_is_listed_under_its_name_in_the_settings(served: Served) -> None:
    assert [entry["id"] for entry in served.ask("/v1/models")["data"]] == [MODEL]


@pytest.mark.parametrize(
    ("options", "status"),
    [({"model": "nobody"}, 404), ({"messages": [{"role": "user", "content": "x" * 5000}]}, 400)],
    ids=["unknown model", "longer than the context"],
)
def test_what_cannot_be_answered_is_refused_at_once(served: Served, options: dict[str, Any], status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        served.chat(**options)
    assert refused.value.code == status


def test_health_says_what_the_engine_says_of_itself(served: Served) -> None:
    (pod,) = served.ready_pods()
    health = json.loads(eventually(lambda: served.from_node(f"http://{pod['status']['podIP']}:8080/health")))
    assert health["status"] == "ready"
    assert health["model_loaded"] is True
    assert health["queue_depth"] == 0
    assert health["gpu_utilization"] is None
    assert health["memory_usage"]


def test_metrics_count_the_requests_of_this_model(served: Served) -> None:
    (pod,) = served.ready_pods()
    before = served.metric(pod, VLLM.requests_finished)
    served.chat()
    assert served.metric(pod, VLLM.requests_finished) == before + 1


def test_a_second_up_changes_nothing(served: Served) -> None:
    done = served.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout


def test_the_pod_runs_as_it_would_in_production(served: Served) -> None:
    (pod,) = served.ready_pods()
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["namespace"] == TEAM
