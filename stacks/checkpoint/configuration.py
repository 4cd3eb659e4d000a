"""A model's facts from its ``config.json``, and from the sizes of its weights where they were read.

Parameters are counted from the shape where there are no weights to count, or where these are packed: embedding, norms
left out, the matrices of attention, MLP and experts. A test compares that with the models that vLLM itself builds.
"""

from collections.abc import Mapping
from typing import Any, cast

from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import ExpertFacts, ModelFacts, StoredQuantization, Task
from stacks.checkpoint.encoders import encoders
from stacks.checkpoint.layers import (
    STATE_SIZES,
    Config,
    Kind,
    blocks,
    head_dim,
    heads,
    hidden_size,
    is_encoder,
    kv_heads,
    layer,
    layer_count,
    layer_facts,
    layer_kinds,
    mamba_shape,
    number,
    text_config,
)
from stacks.checkpoint.safetensors_headers import WeightSizes

_TASKS: Mapping[str, Task] = {
    "ForCausalLM": Task.GENERATE,
    "ForConditionalGeneration": Task.GENERATE,
    "ChatModel": Task.GENERATE,
    "LMHeadModel": Task.GENERATE,
    "ForTextEncoding": Task.EMBED,
    "EmbeddingModel": Task.EMBED,
    "ForMaskedLM": Task.EMBED,
    "ForSequenceClassification": Task.CLASSIFY,
    "ForTokenClassification": Task.CLASSIFY,
    "ForAudioClassification": Task.CLASSIFY,
    "ForImageClassification": Task.CLASSIFY,
    "ForVideoClassification": Task.CLASSIFY,
    "ClassificationModel": Task.CLASSIFY,
    "ForRewardModeling": Task.EMBED,
    "RewardModel": Task.EMBED,
    "Model": Task.EMBED,
}
"""Tasks by the end of the model's class, as vLLM tells them (``_SUFFIX_TO_DEFAULTS`` of ``vllm/config/model.py``
0.32.0)."""

_NAMED_OTHERWISE: Mapping[str, Task] = {
    "ChatGLMModel": Task.GENERATE,
    "MiDashengLMModel": Task.GENERATE,
    "MossAudioModel": Task.GENERATE,
    "Qwen2_5OmniModel": Task.GENERATE,
    "UltravoxModel": Task.GENERATE,
    "ColPaliForRetrieval": Task.EMBED,
    "Terratorch": Task.EMBED,
    "ClefOmniForJointSchema": Task.CLASSIFY,
    "JinaVLForRanking": Task.CLASSIFY,
}
"""Classes of vLLM's registry whose names do not end as their tasks (``vllm/model_executor/models/registry.py`` 0.32.0,
read on 2026-11-29)."""

_SCALED_ALREADY = frozenset(
    {"default", "su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "proportional", "mrope"}
)
"""Kinds of rope scaling whose factor ``max_position_embeddings`` has in it already, as it has with every kind in models
of type ``gemma3`` (``_get_and_verify_max_len`` of vLLM 0.32.0)."""

_UNGATED = ("gelu", "gelu_new", "gelu_fast", "gelu_10", "relu", "relu2", "quick_gelu")
"""Activations between two matrices; all others are between three, of which one is the gate."""


def model_facts(
    config: Config,
    weights: WeightSizes | None = None,
    embeds: bool = False,
    tokenizer: Config | None = None,
    sentences: Config | None = None,
    picture: Config | None = None,
    video: Config | None = None,
) -> ModelFacts:
    """What planning must know of a model.

    Args:
        config: its ``config.json``.
        weights: sizes of its weights, where they were read.
        embeds: its repository says that it makes vectors of texts (it is laid out for Sentence Transformers).
        tokenizer: its ``tokenizer_config.json``, where it has one.
        sentences: its ``sentence_bert_config.json``, where it has one.
        picture: its ``preprocessor_config.json``, where it has one.
        video: its ``video_preprocessor_config.json``, where it has one.

    Raises:
        ProblemsError: the file lacks a fact, or says it in a way that is not known here.
    """
    text = text_config(config)
    if text.get("compress_ratios"):
        reason = "layers that compress their tokens by different ratios are not planned for"
        raise ProblemsError([Problem("compress_ratios", None, reason)])
    _refuse_nested_sizes(text)
    experts = _experts(text)
    parameters = _parameters(text, experts)
    stored = _quantization(config, text)
    if weights is not None and stored is None:
        parameters = weights.parameters
    task = Task.EMBED if embeds else task_of(architecture(config))
    # vLLM counts the tokenizer's limit where a pooling model has a table of positions.
    counts_tokenizer = task is not Task.GENERATE and config.get("position_embedding_type") == "absolute"
    return ModelFacts(
        architecture=architecture(config),
        task=task,
        layers=layer_facts(text),
        hidden_size=hidden_size(text),
        heads=heads(text),
        intermediate_size=_mlp_width(text) if experts is None or experts.layers < layer_count(text) else experts.width,
        vocabulary=number(text, "vocab_size", "padded_vocab_size"),
        tied_embeddings=_is_tied(config, text),
        max_context=max_context(text, tokenizer if counts_tokenizer else None, sentences),
        experts=experts,
        parameters=parameters,
        weights=dict(weights.bytes_by_dtype) if weights is not None else {},
        quantization=stored,
        encoders=encoders(config, picture, video),
    )


def _refuse_nested_sizes(text: Config) -> None:
    """DBRX and its likes have heads and experts in objects of their own."""
    for key, sizes in (("attn_config", ("kv_n_heads",)), ("ffn_config", ("ffn_hidden_size", "moe_num_experts"))):
        none: Config = {}
        part = cast(Config, text[key]) if isinstance(text.get(key), dict) else none
        size = next((size for size in sizes if part.get(size)), None)
        if size is not None:
            reason = "sizes in an object of their own are not understood"
            raise ProblemsError([Problem(f"{key}.{size}", part[size], reason)])


def architecture(config: Config) -> str:
    """Class of the model.

    Raises:
        ProblemsError: the file names none: vLLM would not know what to make of it either.
    """
    listed = config.get("architectures")
    if not listed:
        raise ProblemsError([Problem("architectures", listed, "the model's config names no class")])
    return str(listed[0])


def task_of(name: str) -> Task:
    """What models of a class are asked for: text, as in vLLM, where its name says nothing."""
    by_suffix = next((task for suffix, task in _TASKS.items() if name.endswith(suffix)), Task.GENERATE)
    return _NAMED_OTHERWISE.get(name, by_suffix)


def max_context(config: Config, tokenizer: Config | None = None, sentences: Config | None = None) -> int:
    """Longest context in tokens, as vLLM derives it (``_get_and_verify_max_len``, 0.32.0): the least of what the file
    and the tokenizer's say, times the factor of those kinds of rope scaling that leave it out; where the file for
    Sentence Transformers says a length, that one.

    Args:
        config: the language model's part of its ``config.json``.
        tokenizer: the ``tokenizer_config.json`` of a model whose tokenizer counts.
        sentences: its ``sentence_bert_config.json``.
    """
    if sentences and (length := number(sentences, "max_seq_length", default=0)):
        return length
    keys = (
        *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length"),
        *("max_target_positions", "max_sequence_length", "max_seq_length", "seq_len"),
    )
    lengths = [int(config[key]) for key in keys if isinstance(config.get(key), int | float)]
    if tokenizer and (length := number(tokenizer, "model_max_length", default=0)):
        lengths.append(length)
    if not lengths:
        return 2048  # what vLLM assumes then
    rope = cast(Config, config.get("rope_scaling") or config.get("rope_parameters") or {})
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    is_scaled = kind in _SCALED_ALREADY or "gemma3" in str(config.get("model_type"))
    factor = None if is_scaled else rope.get("factor")
    return int(min(lengths) * (float(factor) if factor else 1))


def _is_tied(config: Config, text: Config) -> bool:
    """Configs of transformers 5 leave the key out where it is false; GPT-2's and its likes where it is true. BERT's has
    no projection."""
    if is_encoder(text):
        return True
    return bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", _is_old(text))))


def _is_old(config: Config) -> bool:
    """Whether a config is one of GPT-2's likes or BLOOM's, by their name for the width."""
    return bool({"n_embd", "n_embed"} & set(config))


def _quantization(config: Config, text: Config) -> StoredQuantization | None:
    stored = config.get("quantization_config") or text.get("quantization_config") or config.get("compression_config")
    if not isinstance(stored, dict):
        return None
    stored = cast(Config, stored)
    producer = stored.get("producer")
    named = cast(Config, producer).get("name") if isinstance(producer, dict) else producer
    method = stored.get("quant_method") or named
    if not method and stored.get("load_in_4bit"):
        method = "bitsandbytes"
    if not method:
        reason = "says how the weights are stored, but not by which method"
        raise ProblemsError([Problem("quantization_config.quant_method", None, reason)])
    groups = cast(Mapping[str, Config], stored.get("config_groups") or {})
    none: Config = {}
    first = next((cast(Config, group.get("weights") or none) for group in groups.values()), none)
    bits = stored.get("bits") or stored.get("w_bit") or first.get("num_bits")
    group = stored.get("group_size") or stored.get("q_group_size") or first.get("group_size")
    layout = stored.get("format") or stored.get("quant_algo") or stored.get("fmt")
    if layout == "naive-quantized" and first.get("type"):
        layout = f"{layout} {first['type']}"  # the one layout whose name does not say whether it is int or float
    return StoredQuantization(
        method=str(method),
        bits=int(bits) if bits else None,
        group_size=int(group) if group and int(group) > 0 else None,
        format=str(layout) if layout else None,
    )


def _experts(config: Config) -> ExpertFacts | None:
    keys = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts", "num_total_experts")
    count = number(config, *keys, default=0)
    layers = sum(_has_experts(config, index) for index in range(layer_count(config))) if count > 1 else 0
    if not layers:
        return None
    width = number(config, "moe_intermediate_size", "expert_hidden_size", "intermediate_size", "ffn_hidden_size")
    active = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk")
    return ExpertFacts(
        count=count,
        active=number(config, *active, "moe_top_k", default=1),
        width=width,
        layers=layers,
        shared_width=_shared_width(config, width),
    )


def _shared_width(config: Config, width: int) -> int:
    """What every token passes through beside its experts. Llama 4 always has one of an expert's width."""
    keys = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim")
    shared = number(config, *keys, "shared_intermediate_size", default=0)
    if shared:
        return shared
    if "interleave_moe_layer_step" in config:
        return width
    return width * number(config, "n_shared_experts", "num_shared_experts", default=0)


def _has_experts(config: Config, index: int) -> bool:
    """Whether a layer is a mixture: dense ones come first, in between, or where a list says so."""
    if alone := blocks(config):
        return alone[index] == "moe"
    if kinds := config.get("mlp_layer_types"):
        return kinds[index] == "sparse"
    frequency: Any = config.get("moe_layer_freq")
    if isinstance(frequency, list):
        return bool(cast(list[Any], frequency)[index])
    if listed := config.get("moe_layers"):
        return index in cast(list[int], listed)
    if index in (config.get("mlp_only_layers") or ()):
        return False
    if index < number(config, "first_k_dense_replace", "moe_layer_start_index", default=0):
        return False
    if "expert_layer_period" in config:
        return index % number(config, "expert_layer_period") == number(config, "expert_layer_offset", default=0)
    step = number(config, "decoder_sparse_step", "interleave_moe_layer_step", default=int(frequency or 1))
    return (index + 1) % step == 0 if step > 1 else True


def _mlp_width(config: Config) -> int:
    """Width of a dense layer's MLP."""
    keys = ("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "inner_dim")
    return number(config, *keys, default=4 * hidden_size(config))


def _matrices(config: Config) -> int:
    activation = config.get("mlp_hidden_act") or config.get("hidden_act") or config.get("activation_function")
    return 2 if activation in _UNGATED or _is_old(config) or config.get("multi_query") else 3


def _parameters(config: Config, experts: ExpertFacts | None) -> int:
    """Parameters by the shape."""
    hidden, matrices = hidden_size(config), _matrices(config)
    tables = number(config, "vocab_size", "padded_vocab_size") * hidden * (1 if _is_tied(config, config) else 2)
    attention = sum(_attention_parameters(config, kind, index) for index, kind in enumerate(layer_kinds(config)))
    mlp = matrices * hidden * _dense_width(config, experts)
    if experts is not None:
        routed = number(config, "moe_latent_size", "routed_expert_hidden_size", default=hidden)
        into_experts = 2 * hidden * routed if routed != hidden else 0
        of_experts = matrices * (experts.count * experts.width * routed + experts.shared_width * hidden)
        mlp += experts.layers * (of_experts + into_experts + experts.count * hidden)
    return tables + attention + mlp


def _dense_width(config: Config, experts: ExpertFacts | None) -> int:
    """Widths of all dense MLPs together. Where layers are named one by one, those of attention and state have none;
    where each layer has a shape of its own, each its own; Gemma 4 has one beside the experts of each layer."""
    width = _mlp_width(config)
    if alone := blocks(config):
        return width * alone.count("mlp")
    if "num_attention_heads" not in config and "n_head" not in config:
        return 0  # a state-space model is nothing but states
    if shaped := config.get("block_configs"):
        return sum(_block_width(cast(Config, block.get("ffn") or {}), hidden_size(config)) for block in shaped)
    return width * (layer_count(config) - (experts.layers if experts and not config.get("enable_moe_block") else 0))


def _block_width(mlp: Config, hidden: int) -> int:
    """Nemotron-NAS gives a share of the usual width, which is rounded up to whole groups of 256
    (``_ffn_mult_to_intermediate_size`` of vLLM)."""
    if mlp.get("no_op"):
        return 0
    if mlp.get("replace_with_linear"):
        return hidden // 3
    return -(-int(2 * float(mlp["ffn_mult"]) * hidden / 3) // 256) * 256


def _attention_parameters(config: Config, kind: Kind, index: int) -> int:
    hidden, query = hidden_size(config), heads(config)
    match kind:
        case Kind.LINEAR if "linear_num_value_heads" in config:
            keys = number(config, "linear_num_key_heads") * number(config, "linear_key_head_dim")
            value_heads = number(config, "linear_num_value_heads")
            values = value_heads * number(config, "linear_value_head_dim")
            return hidden * (2 * keys + 3 * values + 2 * value_heads)
        case Kind.MAMBA:
            return _mamba_parameters(config)
        case Kind.CONVOLUTION:
            return 4 * hidden * hidden
        case Kind.NONE if not is_encoder(config):
            return 0
        case Kind.FULL if config.get("kv_lora_rank"):
            return _latent_parameters(config)
        case _:
            facts = layer(config, index, kind)
            width = facts.head_dim or head_dim(config)
            value = facts.value_dim or width
            groups = facts.kv_heads or kv_heads(config)
            gate = 2 if config.get("attn_output_gate") else 1
            one_for_both = config.get("attention_k_eq_v") and kind is Kind.FULL
            return hidden * (gate * query * width + groups * (width + (0 if one_for_both else value)) + query * value)


def _latent_parameters(config: Config) -> int:
    hidden, query = hidden_size(config), heads(config)
    rank, rotary = number(config, "kv_lora_rank"), number(config, "qk_rope_head_dim", default=0)
    plain, value = number(config, "qk_nope_head_dim"), number(config, "v_head_dim")
    query_rank = number(config, "q_lora_rank", default=0)
    width = query * (plain + rotary)
    queries = query_rank * (hidden + width) if query_rank else hidden * width
    index_heads, index_dim = number(config, "index_n_heads", default=0), number(config, "index_head_dim", default=0)
    index = index_heads * (index_dim * query_rank + hidden) + index_dim * hidden
    return queries + hidden * (rank + rotary) + rank * query * (plain + value) + query * value * hidden + index


def _mamba_parameters(config: Config) -> int:
    hidden, state = hidden_size(config), number(config, *STATE_SIZES)
    inner, count, groups = mamba_shape(config)
    if not count:
        rank = number(config, "mamba_dt_rank", "time_step_rank", default=hidden // 16)
        return inner * (3 * hidden + 2 * rank + 3 * state)
    return hidden * (3 * inner + 2 * groups * state + count)
