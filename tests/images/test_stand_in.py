"""The stand-in for the engine that other tiers serve with: what holds for it must hold for vLLM."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llm_serving.metrics.engines import engine_metrics
from llm_serving.spec import EngineName
from tests.images.launched import MODEL, PATIENCE, REPOSITORY, Launch, Launched, launching, until
from tests.stand_in import control
from tests.unit.serving.promtool import samples

pytest.importorskip("uvicorn", reason="the stand-in is served by vLLM's own web server, uvicorn")

STAND_IN = REPOSITORY / "tests" / "stand_in" / "engine.py"
STEPS = "vllm:iteration_tokens_total_count"
LOADED = Path(__file__).with_name("exposition") / "vllm-0.32.0" / "loaded.txt"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launching(tmp_path) as start:
        yield start


@pytest.fixture
def launched(launch: Launch) -> Launched:
    """A stand-in with one place and one more for a request that waits."""
    options = ("--max-num-seqs=1", "--max-num-queued-reqs=2", f"--shutdown-timeout={2 * PATIENCE:g}")
    started = launch(engine=STAND_IN, engine_options=options)
    started.ready()
    return started


def test_it_shows_the_metrics_of_the_engine_under_the_labels_of_the_engine(launched: Launched) -> None:
    metrics = engine_metrics(EngineName.VLLM)
    names = {getattr(metrics, field.name) for field in fields(metrics) if ":" in str(getattr(metrics, field.name))}
    names |= {STEPS}
    shown, real = (_series(exposition) for exposition in (_metrics(launched), LOADED.read_text()))
    assert {_family(name, names) for name, _ in shown} == names
    assert {series for series in real if _family(series[0], names)} <= shown


def test_it_counts_what_it_answers_and_what_it_refuses(launched: Launched) -> None:
    control.hold(_base(launched))
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(_chat, launched) for _ in range(2)]
        until(lambda: (_value(launched, "running"), _value(launched, "waiting")) == (1, 1), "one runs and one waits")
        with pytest.raises(urllib.error.HTTPError) as refused:
            _chat(launched)
        control.release(_base(launched))
    assert refused.value.code == 503
    assert [answer.result()["usage"]["completion_tokens"] for answer in held] == [3, 3]
    shown = samples(_metrics(launched))
    assert sum(value for (name, _), value in shown.items() if name == "vllm:request_success_total") == 2
    assert sum(value for (name, _), value in shown.items() if name == "vllm:admission_rejections_total") == 1


def test_its_health_may_be_late_while_its_steps_go_on(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.3", "--probe-timeout=0.2", engine=STAND_IN)
    launched.ready()
    control.hold(_base(launched))
    control.mute(_base(launched))
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(_chat, launched)
        until(lambda: "did not answer" in (launched.get("/health")[1]["reason"] or ""), "its health is late")
        begin = launched.get("/health")[1]["uptime_seconds"]
        until(lambda: launched.get("/health")[1]["uptime_seconds"] > begin + 1, "that lasts")
        until(lambda: launched.status_of("/health/live") == 200, "it is live")
        control.unmute(_base(launched))
        control.release(_base(launched))
        assert answer.result()["usage"]["completion_tokens"] == 3
    launched.ready()


def test_a_request_that_is_held_ends_whole_once_it_is_released_after_the_signal(launched: Launched) -> None:
    control.hold(_base(launched))
    with ThreadPoolExecutor(1) as client:
        lines = client.submit(_stream, launched)
        until(lambda: _value(launched, "running") == 1, "it runs")
        launched.process.terminate()
        until(lambda: launched.get("/health")[1]["status"] == "draining", "new requests are refused")
        control.release(_base(launched))
    assert [json.loads(line)["choices"][0]["finish_reason"] for line in lines.result()] == [None, None, "length"]
    assert launched.wait() == 0
    assert "1 completed, 0 refused, 0 failed" in launched.process.communicate()[1]


def _base(launched: Launched) -> str:
    return f"http://127.0.0.1:{launched.engine_port}"


def _ask(launched: Launched, **options: Any) -> Any:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "sing"}], "max_tokens": 3, **options}
    request = urllib.request.Request(f"{_base(launched)}/v1/chat/completions", json.dumps(body).encode())
    return urllib.request.urlopen(request, timeout=PATIENCE)


def _chat(launched: Launched) -> dict[str, Any]:
    with _ask(launched) as answer:
        return json.load(answer)


def _stream(launched: Launched) -> list[str]:
    with _ask(launched, stream=True) as answer:
        events = [line.decode().strip().removeprefix("data: ") for line in answer if line.strip()]
    assert events.pop() == "[DONE]"
    return events


def _metrics(launched: Launched) -> str:
    with urllib.request.urlopen(f"{_base(launched)}/metrics", timeout=PATIENCE) as answer:
        return answer.read().decode()


def _value(launched: Launched, state: str) -> float:
    return samples(_metrics(launched))[f"vllm:num_requests_{state}", (("engine", "0"), ("model_name", MODEL))]


def _series(exposition: str) -> set[tuple[str, frozenset[str]]]:
    """Name and names of labels of every series."""
    return {(name, frozenset(label for label, _ in labels)) for name, labels in samples(exposition)}


def _family(series: str, names: set[str]) -> str | None:
    """The metric that a series belongs to: a histogram has three kinds of them."""
    plain = series.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
    return next((name for name in (series, plain) if name in names), None)
