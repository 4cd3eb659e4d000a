"""A model that makes vectors, in a pod of its own beside the one that writes: the same weights, the same image."""

import json
import math
import urllib.error
from typing import Any

import pytest

from local.model.variants import SHAPE
from tests.e2e.served import EMBEDDER, QUESTION, VLLM, Served, engine_of
from tests.engine.cluster.helpers import eventually
from tests.engine.local_stack import wait_until

TEXTS = ["a pod", "a node", "a pod"]


@pytest.fixture(scope="module")
def embedder(served: Served) -> Served:
    """Both models, for the last tests of the engine itself: with the stand-in there is one again."""
    added = {"name": EMBEDDER, "team": "chat", "pool": "cpu", "releases": {"stable": "1.0.0"}}
    served.change_models(lambda models: models.append(added))
    served.up()
    wait_until(lambda: _is_reached(served), 60, "its Service leads to it")
    wait_until(served.answers, 240, "the other model, evicted by the tests before, is there again")
    return served


def _vectors(embedder: Served) -> list[list[float]]:
    answer = embedder.ask("/v1/embeddings", {"model": EMBEDDER, "input": TEXTS}, base=embedder.base(EMBEDDER))
    assert answer["model"] == EMBEDDER
    return [entry["embedding"] for entry in answer["data"]]


def _is_reached(served: Served) -> bool:
    try:
        return bool(_vectors(served))
    except OSError:
        return False


def test_texts_become_vectors_through_the_models_service(embedder: Served) -> None:
    vectors = _vectors(embedder)
    assert [len(vector) for vector in vectors] == [SHAPE.hidden_size] * len(TEXTS)
    assert [math.hypot(*vector) for vector in vectors] == [pytest.approx(1, abs=0.01)] * len(TEXTS)
    assert vectors[0] == pytest.approx(vectors[2], abs=0.01)
    assert vectors[0] != pytest.approx(vectors[1], abs=0.01)


def test_it_is_ready_without_a_warm_up_that_would_ask_it_for_text(embedder: Served) -> None:
    (pod,) = embedder.pods(model=EMBEDDER)
    (container,) = pod["spec"]["containers"]
    assert "--runner=pooling" in container["command"]
    health = json.loads(eventually(lambda: embedder.from_node(f"http://{pod['status']['podIP']}:8080/health")))
    assert (health["status"], health["model_loaded"]) == ("ready", True)
    told = embedder.from_node(f"http://{pod['status']['podIP']}:8080/metrics")
    assert 'llm_serving_startup_seconds{stage="model"}' in told
    assert 'stage="warm_up"' not in told
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_what_scales_it_is_measured(embedder: Served) -> None:
    """It has no first token; its queue is what there is."""
    (pod,) = embedder.pods(model=EMBEDDER)
    told = embedder.text(f"{engine_of(pod)}/metrics")
    assert VLLM.requests_running is not None
    assert VLLM.requests_waiting is not None
    for series in (VLLM.requests_running, VLLM.requests_waiting):
        assert f"\n{series}{{" in told


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_text_is_not_what_it_is_asked_for(embedder: Served, path: str) -> None:
    body: dict[str, Any] = {"model": EMBEDDER, "messages": QUESTION, "prompt": "Say something.", "max_tokens": 4}
    with pytest.raises(urllib.error.HTTPError) as refused:
        embedder.ask(path, body, base=embedder.base(EMBEDDER))
    assert 400 <= refused.value.code < 500


def test_the_other_model_goes_on_answering(embedder: Served) -> None:
    assert embedder.answers()
