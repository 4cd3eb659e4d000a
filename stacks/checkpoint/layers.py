"""Which layers a model has, read from its ``config.json``: what each keeps of a request, and how wide it is.

Publishers write the same facts under different keys. The tables here have the keys that transformers and vLLM read,
most usual first (transformers 5.14 and vLLM 0.32.0, read on 2026-11-28). A model's type decides only where it does in
vLLM.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, cast

from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import AttentionKind, LayerFacts

Config = Mapping[str, Any]


class Kind(StrEnum):
    """What a layer is."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    MAMBA = "mamba"
    LINEAR = "linear"
    CONVOLUTION = "convolution"
    NONE = "none"


_NAMES: Mapping[str, Kind] = {
    "full_attention": Kind.FULL,
    "attention": Kind.FULL,
    "full": Kind.FULL,
    "deepseek_sparse_attention": Kind.FULL,
    "minimax_m3_sparse": Kind.FULL,
    "sliding_attention": Kind.SLIDING,
    "chunked_attention": Kind.CHUNKED,
    "linear_attention": Kind.LINEAR,
    "mamba": Kind.MAMBA,
    "conv": Kind.CONVOLUTION,
    "moe": Kind.NONE,
    "mlp": Kind.NONE,
}
"""Kinds by the names that `layer_types` and its likes use."""

_HALF = 2
"""Bytes of a value in 16 bits: what caches and states are kept in unless the model says otherwise."""

_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def text_config(config: Config) -> Config:
    """The part of ``config.json`` that is about the language model: most models with pictures have one."""
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), dict):
            part = cast(Config, config[key])
            inherited = {name: value for name, value in config.items() if name in _INHERITED}
            return {**_LEFT_OUT.get(str(part.get("model_type")), {}), **inherited, **part}
    thinker = config.get("thinker_config")
    return text_config(cast(Config, thinker)) if isinstance(thinker, dict) else config


_INHERITED = ("tie_word_embeddings", "vocab_size", "torch_dtype", "dtype")
"""Keys that may stand beside the language model's part and hold for it."""


_LEFT_OUT: Mapping[str, Config] = {
    "gemma3_text": {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "tie_word_embeddings": True,
    },
    "llama": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
    },
    "mistral": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
}
"""What the language model's part of a published file leaves to transformers, by its ``model_type``: defaults of its
configuration (``Gemma3TextConfig``, ``LlamaConfig``, ``MistralConfig`` of transformers 5.19.0, read on 2026-11-29)."""


def number(config: Config, *keys: str, default: int | None = None) -> int:
    """The first of the keys that has a number.

    Raises:
        ProblemsError: none has, and there is no default.
    """
    for key in keys:
        value = config.get(key)
        if isinstance(value, list):
            values = cast(list[Any], value)
            value = values[0] if values and all(each == values[0] for each in values) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    if default is not None:
        return default
    reason = f"the model's config has no number as {' or '.join(keys)}: it leaves that to a default of transformers"
    hint = f"--config with a copy of config.json that has {keys[0]}"
    raise ProblemsError([Problem(keys[0], config.get(keys[0]), reason, hint)])


def layer_count(config: Config) -> int:
    """Layers of the language model."""
    return number(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers", default=len(blocks(config)) or None)


def blocks(config: Config) -> list[str]:
    """What each layer is where a layer is one thing alone: attention, a state, experts or an MLP; else empty. In a list
    with neither experts nor MLPs each layer has an MLP beside what it names."""
    if pattern := config.get("hybrid_override_pattern"):
        names = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}
        return [names[letter] for letter in str(pattern) if letter in names]
    listed = cast(list[str], config.get("layers_block_type") or [])
    return listed if {"moe", "mlp"} & set(listed) else []


def heads(config: Config) -> int:
    """Query heads; 1 where no layer has attention."""
    return number(config, "num_attention_heads", "n_head", "n_heads", default=1 if _is_state_space(config) else None)


def kv_heads(config: Config) -> int:
    """Key and value heads of one layer."""
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):
        return 1
    keys = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
    return number(config, *keys, default=heads(config))


def head_dim(config: Config) -> int:
    """Width of one head."""
    width = number(config, "head_dim", "kv_channels", "hidden_size_per_head", default=0)
    return width or hidden_size(config) // heads(config)


def hidden_size(config: Config) -> int:
    """Width of the residual stream."""
    return number(config, "hidden_size", "n_embd", "n_embed", "d_model")


def is_encoder(config: Config) -> bool:
    """Whether every token sees every other: such a model keeps nothing between steps. The keys are those of BERT and
    its descendants."""
    return config.get("is_causal") is False or bool(_OF_ENCODERS & set(config))


_OF_ENCODERS = frozenset({"type_vocab_size", "global_attn_every_n_layers", "local_attention"})

STATE_SIZES = ("ssm_state_size", "mamba_d_state", "state_size")
"""Keys for the values that a state-space model keeps for each channel."""


def _is_state_space(config: Config) -> bool:
    """Whether a model has states and no attention."""
    return "num_attention_heads" not in config and any(config.get(key) for key in STATE_SIZES)


def layer_kinds(config: Config) -> list[Kind]:
    """What each layer of the language model is.

    Raises:
        ProblemsError: the model says so in a way that is not known here.
    """
    count = layer_count(config)
    if is_encoder(config):
        return [Kind.NONE] * count
    kinds = _kinds(config, count)
    if any(config.get(key) for key in STATE_SIZES):
        if "linear_num_value_heads" not in config:  # transformers 5 calls states of both kinds linear attention
            kinds = [Kind.MAMBA if kind is Kind.LINEAR else kind for kind in kinds]
        if Kind.MAMBA not in kinds and not any(config.get(key) for key in _LISTS):
            key = next(key for key in STATE_SIZES if config.get(key))
            reason = "layers that are state and attention at once are not planned for"
            raise ProblemsError([Problem(key, config[key], reason)])
    return kinds


_LISTS = ("layer_types", "layers_block_type", "block_types", "attn_type_list", "hybrid_layer_pattern")
"""Keys of lists that name the kind of each layer."""


def _kinds(config: Config, count: int) -> list[Kind]:
    if alone := blocks(config):
        return _listed("layers_block_type", alone, count)
    for key in _LISTS:
        if config.get(key):
            return _listed(key, config[key], count)
    for key, read in _PATTERNS.items():
        if config.get(key) is not None:
            kinds = read(config, count)
            if kinds is not None:
                return kinds
    return [Kind.MAMBA if _is_state_space(config) else Kind.FULL] * count


def _listed(key: str, listed: Sequence[Any], count: int) -> list[Kind]:
    """Kinds from a list with an entry a layer. A short list is a pattern that repeats; a longer one also has the layers
    that only guess tokens ahead."""
    kinds: list[Kind] = []
    for index in range(count):
        entry = listed[index % len(listed)]
        if key == "attn_type_list":
            kinds.append(Kind.FULL if entry else Kind.LINEAR)
        elif key == "hybrid_layer_pattern":
            kinds.append(Kind.SLIDING if entry else Kind.FULL)
        elif entry in _NAMES:
            kinds.append(_NAMES[entry])
        else:
            reason = "layers of this kind are not known here, so what they keep of a request is not either"
            raise ProblemsError([Problem(f"{key}[{index}]", entry, reason, ", ".join(_NAMES))])
    return kinds


def _every(full: str) -> Callable[[Config, int], list[Kind]]:
    """Linear attention, but for every n-th layer."""

    def read(config: Config, count: int) -> list[Kind]:
        return [Kind.FULL if (index + 1) % int(config[full]) == 0 else Kind.LINEAR for index in range(count)]

    return read


def _sliding_pattern(config: Config, count: int) -> list[Kind] | None:
    pattern = config["sliding_window_pattern"]
    if config.get("sliding_window") is None or not isinstance(pattern, int) or pattern < 1:
        return None
    return [Kind.FULL if (index + 1) % pattern == 0 else Kind.SLIDING for index in range(count)]


def _jamba(config: Config, count: int) -> list[Kind]:
    period, offset = int(config["attn_layer_period"]), int(config.get("attn_layer_offset") or 0)
    return [Kind.FULL if index % period == offset else Kind.MAMBA for index in range(count)]


def _kimi(config: Config, count: int) -> list[Kind] | None:
    linear: Config = config["linear_attn_config"]
    numbers = set(cast(list[int], linear.get("kda_layers") or []))
    return [Kind.LINEAR if index + 1 in numbers else Kind.FULL for index in range(count)] if numbers else None


def _chunked(config: Config, count: int) -> list[Kind] | None:
    """Llama 4: layers with rotary positions see their chunk alone; every fourth has no positions and sees all."""
    rotary = config.get("no_rope_layers")
    if not rotary:
        interval = number(config, "no_rope_layer_interval", default=4)
        rotary = [int((index + 1) % interval != 0) for index in range(count)]
    return [Kind.CHUNKED if rotary[index] else Kind.FULL for index in range(count)]


def _shaped(config: Config, count: int) -> list[Kind] | None:
    listed: list[Config] = config["block_configs"]
    attention: list[Config] = [block.get("attention") or {} for block in listed[:count]]
    return [Kind.NONE if one.get("no_op") or one.get("replace_with_linear") else Kind.FULL for one in attention]


_PATTERNS: Mapping[str, Callable[[Config, int], list[Kind] | None]] = {
    "block_configs": _shaped,
    "full_attention_interval": _every("full_attention_interval"),
    "linear_attn_config": _kimi,
    "attn_layer_period": _jamba,
    "sliding_window_pattern": _sliding_pattern,
    "attention_chunk_size": _chunked,
}
"""Readers by the key that says that a model has layers of several kinds, without a list of them."""


def layer_facts(config: Config) -> tuple[LayerFacts, ...]:
    """The layers of the language model, those of one kind together, in the order in which they first come.

    A model with a window and no word on which layers have it counts as if all layers kept everything: some models of
    that kind alternate, and only their code says so.

    Raises:
        ProblemsError: a size is missing that a kind of layer needs.
    """
    groups = Counter(layer(config, index, kind) for index, kind in enumerate(layer_kinds(config)))
    return tuple(facts.model_copy(update={"count": count}) for facts, count in groups.items())


def layer(config: Config, index: int, kind: Kind) -> LayerFacts:
    """One layer by itself."""
    match kind:
        case Kind.FULL if config.get("kv_lora_rank"):
            return _latent(config) if _keeps_latent(config) else _expanded(config)
        case Kind.FULL:
            return LayerFacts(
                attention=AttentionKind.FULL,
                count=1,
                kv_heads=_block_kv_heads(config, index) or number(config, "num_global_key_value_heads", default=0)
                or kv_heads(config),
                head_dim=number(config, "global_head_dim", default=0) or head_dim(config),
                value_dim=number(config, "v_head_dim", default=0) or None,
            )  # fmt: skip
        case Kind.SLIDING | Kind.CHUNKED:
            keys = ("sliding_window", "sliding_window_size") if kind is Kind.SLIDING else ("attention_chunk_size",)
            return LayerFacts(
                attention=AttentionKind.SLIDING,
                count=1,
                kv_heads=number(config, "swa_num_key_value_heads", default=0) or kv_heads(config),
                head_dim=number(config, "swa_head_dim", default=0) or head_dim(config),
                value_dim=number(config, "swa_v_head_dim", default=0) or None,
                window=number(config, *keys),
            )
        case Kind.MAMBA | Kind.LINEAR | Kind.CONVOLUTION:
            return LayerFacts(attention=AttentionKind.STATE, count=1, state_bytes=state_bytes(config, kind))
        case Kind.NONE:
            return LayerFacts(attention=AttentionKind.NONE, count=1)


_LATENT = frozenset(
    {"axk1", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deepseek_v41"}
    | {"dots3_note", "glm4_moe_lite", "glm5_next", "glm5_next_text", "glm_moe_dsa", "hy_v4", "kimi_k2", "kimi_linear"}
    | {"longcat_flash", "pangu_ultra_moe"}
)
"""Types of models whose latent vectors vLLM keeps as they are (``is_deepseek_mla`` of vLLM 0.32.0, read on 2026-11-29,
without those that only guess tokens ahead)."""


def _keeps_latent(config: Config) -> bool:
    return str(config.get("model_type") or "deepseek_v3") in _LATENT


def _expanded(config: Config) -> LayerFacts:
    """Latent attention whose vectors are expanded before they are kept, values as wide as keys (MiniCPM3)."""
    width = number(config, "qk_nope_head_dim") + number(config, "qk_rope_head_dim")
    return LayerFacts(attention=AttentionKind.FULL, count=1, kv_heads=heads(config), head_dim=width)


def _latent(config: Config) -> LayerFacts:
    """DeepSeek's: one vector a token, and for sparse attention a key of 8 bits with a 32-bit scale for each 128 values
    (``DeepseekV32IndexerCache`` of vLLM)."""
    index = number(config, "index_head_dim", default=0)
    return LayerFacts(
        attention=AttentionKind.LATENT,
        count=1,
        latent_dim=number(config, "kv_lora_rank") + number(config, "qk_rope_head_dim", default=0),
        index_bytes=index + index // 128 * 4,
    )


def _block_kv_heads(config: Config, index: int) -> int:
    """Key and value heads of a layer of its own shape (Nemotron-NAS); 0 where all are alike."""
    listed = config.get("block_configs")
    if not listed:
        return 0
    attention = cast(Config, cast(Config, listed[index]).get("attention") or {})
    in_group: Any = attention.get("n_heads_in_group")
    return heads(config) // int(in_group) if in_group else 0


def state_bytes(config: Config, kind: Kind) -> int:
    """Bytes of the state of one request in one layer, as vLLM's ``MambaStateShapeCalculator`` has it: what the
    convolution still needs in 16 bits, and the recurrent state in the type that the model asks for."""
    match kind:
        case Kind.LINEAR if isinstance(config.get("linear_attn_config"), dict):
            linear: Config = config["linear_attn_config"]
            width = number(linear, "num_heads") * number(linear, "head_dim")
            kernel = number(linear, "short_conv_kernel_size", default=4)
            return (kernel - 1) * 3 * width * _HALF + width * number(linear, "head_dim") * 4
        case Kind.LINEAR if "linear_num_value_heads" in config:
            keys = number(config, "linear_num_key_heads") * number(config, "linear_key_head_dim")
            values = number(config, "linear_num_value_heads") * number(config, "linear_value_head_dim")
            kernel = number(config, "linear_conv_kernel_dim", default=4)
            recurrent = values * number(config, "linear_key_head_dim") * _state_value_bytes(config)
            return (kernel - 1) * (2 * keys + values) * _HALF + recurrent
        case Kind.LINEAR:
            return heads(config) * head_dim(config) ** 2 * 4
        case Kind.CONVOLUTION:
            return (number(config, "conv_L_cache", default=3) - 1) * hidden_size(config) * _HALF
        case _:
            return _mamba_bytes(config)


def _mamba_bytes(config: Config) -> int:
    state = number(config, *STATE_SIZES)
    kernel = number(config, "conv_kernel", "mamba_d_conv", default=4)
    inner, count, groups = mamba_shape(config)
    if not count:
        return (kernel - 1) * inner * _HALF + inner * state * _state_value_bytes(config)
    convolution = (kernel - 1) * (inner + 2 * groups * state) * _HALF
    return convolution + inner * state * _state_value_bytes(config)


def mamba_shape(config: Config) -> tuple[int, int, int]:
    """Width, heads and groups of a state-space layer. The first Mamba has neither heads nor groups: 0."""
    width = number(config, "mamba_expand", "expand", default=2) * hidden_size(config)
    count = number(config, "mamba_num_heads", "mamba_n_heads", "num_heads", default=0)
    if not count:
        return width, 0, 0
    groups = number(config, "n_groups", "mamba_n_groups", "mamba_ngroups", default=1)
    head = number(config, "mamba_head_dim", "mamba_d_head", "head_dim", default=width // count)
    return count * head, count, groups


def _state_value_bytes(config: Config) -> int:
    """Nemotron-H's state has 32 bits unless it says otherwise (``NemotronHForCausalLMConfig`` of vLLM)."""
    dtype = config.get("mamba_ssm_cache_dtype") or config.get("mamba_ssm_dtype")
    return _DTYPE_BYTES.get(str(dtype), 4 if blocks(config) else _HALF)
