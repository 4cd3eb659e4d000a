"""What serving must know of an inference engine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from llm_serving.planning.placement import ModelPlan
from llm_serving.spec import EngineName, ReleaseSpec


@dataclass(frozen=True)
class EngineMetrics:
    """Names of the metrics that an engine exports, as they stand in its exposition: counters carry ``_total``,
    histograms stand without ``_bucket``, ``_sum`` and ``_count``.

    Attributes:
        model_label: label that carries the name under which the model is served.
        requests_running: gauge, requests in the current batch.
        requests_waiting: gauge, requests in the queue.
        kv_cache_usage: gauge, 0 to 1.
        prompt_tokens: counter.
        generation_tokens: counter.
        requests_finished: counter, with ``finished_reason_label``.
        finished_reason_label: label of it.
        preemptions: counter, requests that lost their place in the KV cache.
        rejections: counter, requests refused at admission.
        prefix_cache_queries: counter, tokens looked up.
        prefix_cache_hits: counter, tokens found.
        time_to_first_token: histogram, seconds.
        inter_token_latency: histogram, seconds.
        request_latency: histogram, seconds from arrival to the last token.
        queue_time: histogram, seconds.
    """

    model_label: str
    requests_running: str
    requests_waiting: str
    kv_cache_usage: str
    prompt_tokens: str
    generation_tokens: str
    requests_finished: str
    finished_reason_label: str
    preemptions: str
    rejections: str
    prefix_cache_queries: str
    prefix_cache_hits: str
    time_to_first_token: str
    inter_token_latency: str
    request_latency: str
    queue_time: str


class Engine(ABC):
    """One inference engine: how it is started, asked and watched. It decides nothing: every number is the plan's or
    the release's.

    Attributes:
        name: name in releases.
        port: TCP port of the OpenAI-compatible API, of health and of metrics.
        health_path: answers 200 while the engine can serve.
        metrics_path: Prometheus exposition.
        metrics: names of its metrics.
        environment_prefix: prefix of the environment variables that the engine reads.
        scratch_gib: disk that an instance may fill under ``/tmp``: compile caches, logs.
    """

    name: EngineName
    port: int
    health_path: str
    metrics_path: str
    metrics: EngineMetrics
    environment_prefix: str
    scratch_gib: int

    @abstractmethod
    def command(
        self, plan: ModelPlan, release: ReleaseSpec, weights: str, chat_template: str | None = None
    ) -> list[str]:
        """The command line, without the shutdown timeout.

        Args:
            plan: parallelism, lengths, shares of memory.
            release: quantization and sampling defaults; its name is the name under which clients ask.
            weights: folder of the weights in the container.
            chat_template: file in the container that replaces the model's own template.
        """

    @abstractmethod
    def shutdown_argument(self, seconds: int) -> str:
        """The argument that lets running requests finish after SIGTERM. It depends on the pool, which may be known
        only while resources are created."""

    @abstractmethod
    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Environment variables of the container.

        Args:
            plan: sizes that the engine reads from its environment.
        """
