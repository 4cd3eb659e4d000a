"""What planning says of a GPU's memory is what vLLM's own logs say: the table in ``docs/gpu-memory.md``.

``python -m tests.unit.planning.test_memory_logs`` writes that table anew.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm_serving import catalog
from llm_serving.planning.fit import Demands, MemoryBudget, Parallelism, memory_budget
from llm_serving.planning.host import HostShare
from llm_serving.planning.profile_run import ACTIVATION_BYTES, encoder_bytes
from llm_serving.spec import AttentionKind, EncoderFacts, ExpertFacts, LayerFacts, Modality, ModelFacts, Quantization

LOGS = Path(__file__).parent / "logs" / "vllm_memory.csv"
PAGE = Path(__file__).parents[3] / "docs" / "gpu-memory.md"

HOST = HostShare(cpu=64, memory_gib=512, shm_gib=1)

TOLERANCE = 0.01
"""Of the KV cache. It is what is left of the memory, so that it bears the errors of all other parts."""


@dataclass(frozen=True)
class Log:
    """A row of the file; see its head."""

    kind: str
    model: str
    gpu: str
    version: str
    tensor: int
    utilization: float
    kv_bits: int
    weights_gib: float
    kv_gib: float
    kv_tokens: int | None
    graphs_gib: float | None
    counts_graphs: bool
    facts: ModelFacts
    source: str

    @property
    def name(self) -> str:
        return f"{self.model} {self.gpu} x {self.tensor} {self.version} {self.kv_bits}"

    @property
    def budget(self) -> MemoryBudget:
        """Ours."""
        demands = Demands(counts_graphs=self.counts_graphs, cache_bytes=self.kv_bits // 8)
        gpu, spread = catalog.accelerator(self.gpu), Parallelism(tensor=self.tensor)
        return memory_budget(self.facts, Quantization.NONE, gpu, spread, self.utilization, HOST, demands)

    @property
    def tolerance(self) -> float:
        """Weights of the one model with an encoder take 0.35 GiB more on the GPU than in their files."""
        return TOLERANCE if not self.facts.encoders else 2 * TOLERANCE

    @property
    def error(self) -> float:
        return self.budget.kv_cache_gib / self.kv_gib - 1


def _facts(model: str, shape: str, encoder: str) -> ModelFacts:
    words = shape.split()
    layers, hidden, heads, kv_heads, head_dim, width, vocabulary = map(int, words[:7])
    experts, active, parameters = map(int, words[8:])
    layer = LayerFacts(attention=AttentionKind.FULL, count=layers, kv_heads=kv_heads, head_dim=head_dim)
    return ModelFacts(
        architecture=model,
        layers=(layer,),
        hidden_size=hidden,
        heads=heads,
        intermediate_size=width,
        vocabulary=vocabulary,
        tied_embeddings=words[7] == "true",
        max_context=8192,
        experts=ExpertFacts(count=experts, active=active, width=width, layers=layers) if experts > 1 else None,
        parameters=parameters,
        encoders=_encoders(encoder),
    )


def _encoders(encoder: str) -> tuple[EncoderFacts, ...]:
    if not encoder:
        return ()
    tokens, positions, hidden, width = map(int, encoder.split())
    facts = {"tokens": tokens, "positions": positions, "hidden_size": hidden, "intermediate_size": width}
    return (EncoderFacts.model_validate({"modality": Modality.IMAGE} | facts),)


def logs() -> list[Log]:
    with LOGS.open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [
        Log(
            kind=row["kind"],
            model=row["model"],
            gpu=row["gpu"],
            version=row["version"],
            tensor=int(row["tensor"]),
            utilization=float(row["utilization"]),
            kv_bits=int(row["kv_dtype"]),
            weights_gib=float(row["weights_gib"]),
            kv_gib=float(row["kv_gib"]),
            kv_tokens=int(row["kv_tokens"]) if row["kv_tokens"] else None,
            graphs_gib=float(row["graphs_gib"]) if row["graphs_gib"] else None,
            counts_graphs=row["graphs_counted"] == "true",
            facts=_facts(row["model"], row["shape"], row["encoder"]),
            source=row["source"],
        )
        for row in rows
    ]


ALL = logs()
each = pytest.mark.parametrize("log", ALL, ids=lambda log: log.name)


@each
def test_the_kv_cache_is_as_large_as_vllms_log_says(log: Log) -> None:
    assert log.budget.kv_cache_gib == pytest.approx(log.kv_gib, rel=log.tolerance)
    assert log.budget.weights_gib == pytest.approx(log.weights_gib, rel=0.01)


@each
def test_the_kv_cache_holds_as_many_tokens_as_vllms_log_says(log: Log) -> None:
    if log.kv_tokens is not None:
        assert log.budget.kv_cache_tokens == pytest.approx(log.kv_tokens, rel=TOLERANCE)


@each
def test_cuda_graphs_take_about_what_vllm_estimates(log: Log) -> None:
    if log.graphs_gib is not None:
        assert log.budget.graph_gib == pytest.approx(log.graphs_gib, rel=0.45)


def test_the_encoder_runs_as_many_pictures_as_vllms_log_says() -> None:
    gemma = next(log.facts for log in ALL if log.facts.encoders)
    (encoder,) = gemma.encoders
    said = "Encoder cache will be initialized with a budget of 8192 tokens, and profiled with 32 image items"
    budget, items = (int(word) for word in said.split() if word.isdigit())
    peak, outputs = encoder_bytes(gemma, 8192, 1024, 8192, {}, 1)
    assert outputs == ACTIVATION_BYTES * budget * gemma.hidden_size
    assert peak == ACTIVATION_BYTES * items * 4096 * (4 * encoder.hidden_size + 2 * encoder.intermediate_size)
    few, _ = encoder_bytes(gemma, 8192, 4, 8192, {Modality.IMAGE: 2}, 1)
    assert few == peak * 8 / items
    assert encoder_bytes(gemma, 8192, 1024, 8192, {Modality.IMAGE: 0}, 1) == (0, 0)


def test_errors_are_not_all_on_one_side_by_much() -> None:
    assert abs(sum(log.error for log in ALL)) / len(ALL) < 0.005


def table() -> str:
    """The table of the page."""
    lines = [
        "| Model | GPUs | vLLM | KV cache of | Theirs, GiB | Ours, GiB | Error |",
        "|---|---|---|---|---|---|---|",
    ]
    for log in ALL:
        mark = "" if log.kind == "log" else "*"
        lines.append(
            f"| {log.model} | {log.tensor} x {log.gpu} | {log.version} | {log.kv_bits} bits | {log.kv_gib:.2f}{mark} "
            f"| {log.budget.kv_cache_gib:.2f} | {log.error * 100:+.1f} % |"
        )
    return "\n".join(lines)


def test_the_page_shows_these_errors() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    print(table())
