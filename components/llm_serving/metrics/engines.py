"""Series of the inference engines, as their adapters' versions spell them (``serving.engines``)."""

from dataclasses import dataclass
from enum import StrEnum

from llm_serving.spec import EngineName


class LatencyKind(StrEnum):
    """What a latency objective is about, as the settings name it; the word in the names of recorded quantiles."""

    TIME_TO_FIRST_TOKEN = "time_to_first_token"
    INTER_TOKEN_LATENCY = "inter_token_latency"
    LATENCY = "latency"


@dataclass(frozen=True)
class EngineMetrics:
    """Names of the metrics that an engine exports, as they stand in its exposition: counters carry ``_total``,
    histograms stand without ``_bucket``, ``_sum`` and ``_count``. ``None``: the engine has no such metric.

    Attributes:
        requests_running: gauge, requests in the current batch.
        requests_waiting: gauge, requests in the queue.
        model_label: label that carries the name under which the model is served.
        kv_cache_usage: gauge, 0 to 1.
        prompt_tokens: counter.
        generation_tokens: counter.
        requests_finished: counter, with ``finished_reason_label`` where the engine has one.
        finished_reason_label: label of it.
        preemptions: counter, requests that lost their place in the KV cache.
        rejections: counter, requests refused at admission.
        prefix_cache_queries: counter, tokens looked up.
        prefix_cache_hits: counter, tokens found.
        time_to_first_token: histogram, seconds.
        time_to_first_token_bounds: its first bound and its last one but infinity, seconds; ``None`` where not recorded.
        inter_token_latency: histogram, seconds.
        inter_token_latency_bounds: as those of the time to the first token.
        request_latency: histogram, seconds from arrival to the last token.
        request_latency_bounds: as those of the time to the first token.
        queue_time: histogram, seconds.
    """

    requests_running: str | None = None
    requests_waiting: str | None = None
    model_label: str | None = None
    kv_cache_usage: str | None = None
    prompt_tokens: str | None = None
    generation_tokens: str | None = None
    requests_finished: str | None = None
    finished_reason_label: str | None = None
    preemptions: str | None = None
    rejections: str | None = None
    prefix_cache_queries: str | None = None
    prefix_cache_hits: str | None = None
    time_to_first_token: str | None = None
    time_to_first_token_bounds: tuple[float, float] | None = None
    inter_token_latency: str | None = None
    inter_token_latency_bounds: tuple[float, float] | None = None
    request_latency: str | None = None
    request_latency_bounds: tuple[float, float] | None = None
    queue_time: str | None = None

    def histogram(self, kind: LatencyKind) -> str | None:
        """The histogram of a kind of latency."""
        return {
            LatencyKind.TIME_TO_FIRST_TOKEN: self.time_to_first_token,
            LatencyKind.INTER_TOKEN_LATENCY: self.inter_token_latency,
            LatencyKind.LATENCY: self.request_latency,
        }[kind]

    def bounds(self, kind: LatencyKind) -> tuple[float, float] | None:
        """First bound of that histogram and its last one but infinity, in seconds; ``None`` where not recorded."""
        return {
            LatencyKind.TIME_TO_FIRST_TOKEN: self.time_to_first_token_bounds,
            LatencyKind.INTER_TOKEN_LATENCY: self.inter_token_latency_bounds,
            LatencyKind.LATENCY: self.request_latency_bounds,
        }[kind]


_ENGINES = {
    EngineName.VLLM: EngineMetrics(
        model_label="model_name",
        requests_running="vllm:num_requests_running",
        requests_waiting="vllm:num_requests_waiting",
        kv_cache_usage="vllm:kv_cache_usage_perc",
        prompt_tokens="vllm:prompt_tokens_total",
        generation_tokens="vllm:generation_tokens_total",
        requests_finished="vllm:request_success_total",
        finished_reason_label="finished_reason",
        preemptions="vllm:num_preemptions_total",
        rejections="vllm:admission_rejections_total",
        prefix_cache_queries="vllm:prefix_cache_queries_total",
        prefix_cache_hits="vllm:prefix_cache_hits_total",
        time_to_first_token="vllm:time_to_first_token_seconds",
        # Bounds are read of vLLM 0.32.0 (tests/images/exposition).
        time_to_first_token_bounds=(0.001, 2560.0),
        inter_token_latency="vllm:inter_token_latency_seconds",
        inter_token_latency_bounds=(0.01, 80.0),
        request_latency="vllm:e2e_request_latency_seconds",
        request_latency_bounds=(0.3, 7680.0),
        queue_time="vllm:request_queue_time_seconds",
    ),
    EngineName.SGLANG: EngineMetrics(
        model_label="model_name",
        requests_running="sglang:num_running_reqs",
        requests_waiting="sglang:num_queue_reqs",
        kv_cache_usage="sglang:token_usage",
        prompt_tokens="sglang:prompt_tokens_total",
        generation_tokens="sglang:generation_tokens_total",
        requests_finished="sglang:num_requests_total",
        preemptions="sglang:num_retracted_requests_total",
        prefix_cache_queries="sglang:prompt_tokens_total",
        prefix_cache_hits="sglang:cached_tokens_total",
        time_to_first_token="sglang:time_to_first_token_seconds",
        inter_token_latency="sglang:inter_token_latency_seconds",
        request_latency="sglang:e2e_request_latency_seconds",
        queue_time="sglang:queue_time_seconds",
    ),
    EngineName.TGI: EngineMetrics(
        requests_running="tgi_batch_current_size",
        requests_waiting="tgi_queue_size",
        requests_finished="tgi_request_success",
        inter_token_latency="tgi_request_mean_time_per_token_duration",
        request_latency="tgi_request_duration",
        queue_time="tgi_request_queue_duration",
    ),
    # What the vLLM back end of Triton passes on of vLLM's metrics: no gauges, since it runs vLLM's V1 engine (README of
    # triton-inference-server/vllm_backend, "Triton Metrics", and its src/utils/metrics.py).
    EngineName.TRITON: EngineMetrics(
        model_label="model",
        prompt_tokens="vllm:prompt_tokens_total",
        generation_tokens="vllm:generation_tokens_total",
        time_to_first_token="vllm:time_to_first_token_seconds",
        inter_token_latency="vllm:time_per_output_token_seconds",
        request_latency="vllm:e2e_request_latency_seconds",
    ),
}


def engine_metrics(name: EngineName) -> EngineMetrics:
    """The series of an engine. Every name that a release can hold has them."""
    return _ENGINES[name]
