"""The launcher's own metrics in the Prometheus text format (version 0.0.4).

| Metric | Type | Meaning |
|---|---|---|
| ``llm_serving_engine_up`` | gauge | 1 while the engine answers for its model |
| ``llm_serving_engine_ready`` | gauge | 1 while it is ready for requests |
| ``llm_serving_gpu_utilization_percent`` | gauge | mean utilization of the pod's GPUs, where they say |
| ``llm_serving_startup_seconds{stage}`` | gauge | seconds of a stage of the start, see ``startup_stages`` |
| ``llm_serving_requests_running`` | gauge | requests that are being answered |
| ``llm_serving_drained_requests_total{outcome}`` | counter | requests since the signal to stop, see ``drain_state`` |

The last two are there where the launcher drains (``--drain-seconds`` above 0), and only there are vLLM's own parts of
the start (``vllm_stages``) among the stages.
"""

from collections.abc import Mapping
from dataclasses import asdict

from llm_serving_engine.drain_state import RequestCounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(
    *,
    up: bool,
    ready: bool,
    startup: Mapping[str, float],
    requests: RequestCounts | None,
    gpu_utilization: float | None = None,
) -> str:
    """All metrics."""
    lines = [
        *_family("llm_serving_engine_up", "gauge", "1 while the engine answers for its model.", {"": int(up)}),
        *_family("llm_serving_engine_ready", "gauge", "1 while the engine is ready for requests.", {"": int(ready)}),
        *_family(
            "llm_serving_gpu_utilization_percent",
            "gauge",
            "Mean utilization of the GPUs, 0 to 100.",
            {} if gpu_utilization is None else {"": gpu_utilization},
        ),
        *_family(
            "llm_serving_startup_seconds",
            "gauge",
            "Seconds that a stage of the start took.",
            {f'{{stage="{stage}"}}': round(value, 3) for stage, value in startup.items()},
        ),
    ]
    if requests is not None:
        outcomes = asdict(requests)
        running = outcomes.pop("running")
        lines += _family("llm_serving_requests_running", "gauge", "Requests that are being answered.", {"": running})
        lines += _family(
            "llm_serving_drained_requests_total",
            "counter",
            "Requests since the engine was told to stop, by what became of them.",
            {f'{{outcome="{outcome}"}}': count for outcome, count in outcomes.items()},
        )
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, samples: Mapping[str, float]) -> list[str]:
    if not samples:
        return []
    return [
        f"# HELP {name} {text}",
        f"# TYPE {name} {kind}",
        *(f"{name}{key} {value}" for key, value in samples.items()),
    ]
