"""What planning counts of a model is what the pinned vLLM makes of it: KV cache of each layer, context, parameters.

vLLM builds every model without weights, in one process, and says the KV-cache specification of each of its layers.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm_serving.planning.fit import CACHE_BYTES
from llm_serving.spec import AttentionKind, LayerFacts
from stacks.checkpoint.configuration import model_facts
from tests import published_configs
from tests.images import vllm_distribution

pytestmark = pytest.mark.timeout(3600)
"""The first test waits for vLLM to build every model: minutes, and many more where other runs share the machine."""

VERSION = "0.32.0"

LANGUAGE_PARTS = {
    "Gemma4ForConditionalGeneration": "Gemma4ForCausalLM",
    "Qwen3VLForConditionalGeneration": "Qwen3ForCausalLM",
    "Qwen3VLMoeForConditionalGeneration": "Qwen3MoeForCausalLM",
}
"""Models with pictures, and the class of the part that has a cache: the CPU's distribution has no torchvision."""

PUBLISHED = [
    "MiniMaxAI--MiniMax-M2.5",
    "Qwen--Qwen3-0.6B",
    "Qwen--Qwen3-235B-A22B",
    "Qwen--Qwen3-32B",
    "Qwen--Qwen3-Coder-480B-A35B-Instruct",
    "Qwen--Qwen3-VL-2B-Instruct",
    "Qwen--Qwen3-VL-30B-A3B-Instruct",
    "XiaomiMiMo--MiMo-V2-Flash",
    "deepseek-ai--DeepSeek-V3",
    "google--gemma-4-26B-A4B",
    "meta-llama--Meta-Llama-3.1-405B",
    "meta-llama--Meta-Llama-3.1-8B",
    "mistralai--Mixtral-8x22B-v0.1",
    "moonshotai--Kimi-K2-Instruct",
    "nvidia--Nemotron-H-56B-Base-8K",
    "openai--gpt-oss-120b",
    "openai--gpt-oss-20b",
]
"""Read from an installed package that carries their ``config.json``."""

DEFAULTS = {
    "multi-query": ["FalconForCausalLM", "FalconConfig"],
    "multi-query with positions": ["GPTBigCodeForCausalLM", "GPTBigCodeConfig"],
    "multi-head": ["OPTForCausalLM", "OPTConfig"],
    "multi-head, GPT-2": ["GPT2LMHeadModel", "GPT2Config"],
    "grouped, Phi-3": ["Phi3ForCausalLM", "Phi3Config"],
    "grouped, GLM-4": ["Glm4ForCausalLM", "Glm4Config"],
    "latent, DeepSeek-V2": ["DeepseekV2ForCausalLM", "DeepseekV2Config"],
    "experts, OLMoE": ["OlmoeForCausalLM", "OlmoeConfig"],
    "windows, Gemma 2": ["Gemma2ForCausalLM", "Gemma2Config"],
    "windows, Gemma 3": ["Gemma3ForCausalLM", "Gemma3TextConfig"],
    "windows, OLMo 3": ["Olmo3ForCausalLM", "Olmo3Config"],
    "windows, Cohere": ["Cohere2ForCausalLM", "Cohere2Config"],
    "states, Mamba": ["MambaForCausalLM", "MambaConfig"],
    "states, Mamba 2": ["Mamba2ForCausalLM", "Mamba2Config"],
    "states and attention, Jamba": ["JambaForCausalLM", "JambaConfig"],
    "states, Granite": ["GraniteMoeHybridForCausalLM", "GraniteMoeHybridConfig"],
    "linear and full attention": ["Qwen3NextForCausalLM", "Qwen3NextConfig"],
    "encoder": ["BertModel", "BertConfig"],
    "encoder, RoBERTa": ["RobertaForMaskedLM", "RobertaConfig"],
    "encoder with classes": ["BertForSequenceClassification", "BertConfig"],
    "encoder with windows": ["ModernBertModel", "ModernBertConfig"],
}
"""Kinds of attention that none of those has, as transformers' own configuration of a model has them."""

NAMES = [*PUBLISHED, *DEFAULTS]


def published(name: str) -> dict[str, Any]:
    """A model's config without its quantization, which the CPU's distribution refuses; of one with pictures the part
    that has a cache."""
    config = published_configs.config(name)
    part = LANGUAGE_PARTS.get(config["architectures"][0])
    if part is not None:
        text = config["text_config"]
        config = {"tie_word_embeddings": config.get("tie_word_embeddings", False), **text, "architectures": [part]}
    return {key: value for key, value in config.items() if key != "quantization_config"}


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """What vLLM says of every model."""
    if not published_configs.names():
        pytest.skip("NOT TESTED: aiconfigurator-core is not installed")
    try:
        packages = vllm_distribution.site_packages(VERSION)
        python = vllm_distribution.interpreter(packages)
    except vllm_distribution.NotHereError as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    script = Path(__file__).with_name("build_models.py")
    request = {"configs": {name: published(name) for name in PUBLISHED}, "defaults": DEFAULTS}
    return json.loads(vllm_distribution.run(python, packages, script, json.dumps(request)).splitlines()[-1])


def test_at_least_25_architectures_are_compared(built: dict[str, Any]) -> None:
    refused = {name: answer["refused"] for name, answer in built.items() if "refused" in answer}
    assert refused == {}
    assert len(built) == len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_planning_counts_what_vllm_makes_of_a_model(built: dict[str, Any], name: str) -> None:
    theirs = built[name]
    facts = model_facts(theirs["config"])
    caches = Counter[tuple[str, int, int | None]]()
    for kind, layers, size, window in theirs["caches"]:
        # Cohere's window counts the token itself.
        caches[kind, size, None if window is None else window // 2 * 2] += layers
    ours = Counter[tuple[str, int, int | None]]()
    for group in facts.layers:
        if group.attention is not AttentionKind.NONE:
            ours[cache(group)] += group.count
    assert ours == caches
    assert facts.max_context == theirs["max_context"]
    # Norms, biases and tables of positions are not counted: one percent of a model of a hundred million parameters.
    assert facts.parameters == pytest.approx(theirs["parameters"], rel=0.015)


def cache(group: LayerFacts) -> tuple[str, int, int | None]:
    """What a layer keeps, in the words of ``build_models.py``."""
    match group.attention:
        case AttentionKind.STATE:
            assert group.state_bytes is not None
            return "state", group.state_bytes, None
        case AttentionKind.LATENT:
            assert group.latent_dim is not None
            return "all", group.latent_dim * CACHE_BYTES, None
        case _:
            assert group.kv_heads is not None
            assert group.head_dim is not None
            size = group.kv_heads * (group.head_dim + (group.value_dim or group.head_dim)) * CACHE_BYTES
            return ("sliding" if group.window else "all"), size, group.window
