"""A release of any published model: its shape is read from the model's own files, and planned for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import GCP
from llm_serving.planning.fit import Parallelism, gpu_weight_bytes, kv_bytes_per_token, weight_bytes
from llm_serving.planning.placement import plan_model
from llm_serving.spec import AttentionKind, ModelFacts, ModelSpec, Quantization, Task
from stacks.checkpoint.configuration import max_context, model_facts, task_of
from stacks.checkpoint.reading import read_checkpoint, read_config
from stacks.checkpoint.safetensors_headers import WeightSizes
from stacks.cli import app
from stacks.releases import ReadModel, add_release, read_releases
from tests import published_configs
from tests.images.models import NAME, put, safetensors
from tests.unit.stacks.settings_files import copy_releases

REVISION = "0123456789" * 4
H200 = GCP.machine_node("a3-ultragpu-8g")
NEEDS_CONFIGS = pytest.mark.skipif(not published_configs.names(), reason="aiconfigurator-core is not installed")

SERVED = [
    "Qwen--Qwen3-235B-A22B-FP8",
    "Qwen--Qwen3-32B",
    "Qwen--Qwen3-VL-30B-A3B-Instruct",
    "Qwen--Qwen3.5-35B-A3B",
    "XiaomiMiMo--MiMo-V2-Flash",
    "deepseek-ai--DeepSeek-V3",
    "google--gemma-4-26B-A4B",
    "meta-llama--Llama-4-Scout-17B-16E-Instruct",
    "mistralai--Mixtral-8x22B-v0.1",
    "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nvidia--Llama-3.1-70B-Instruct-FP8",
    "nvidia--Nemotron-H-56B-Base-8K",
    "nvidia--Qwen3.5-122B-A10B-NVFP4",
    "openai--gpt-oss-120b",
]
"""Models with latent attention, windows, chunks, states, experts, pictures, and weights in 8 bits."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_releases(tmp_path / "releases")


def read(name: str) -> ReadModel:
    return ReadModel(name.replace("--", "/"), REVISION, read_config(published_configs.path(name)))


def facts(name: str) -> ModelFacts:
    return model_facts(published_configs.config(name))


@NEEDS_CONFIGS
@pytest.mark.parametrize("name", SERVED)
def test_a_published_model_gets_a_release_that_is_planned_for(folder: Path, name: str) -> None:
    added = add_release("mine", "1.0.0", read=read(name), changes=["model.license=apache-2.0"], folder=folder)
    spec = read_releases(folder)["mine", "1.0.0"].spec
    assert spec.model.facts == facts(name)
    assert spec.model.architecture is None
    model = ModelSpec.model_validate({"name": "mine", "team": "a", "releases": {"stable": "1.0.0"}, "pool": "p"})
    plan = plan_model(model, spec, H200, GCP)
    assert plan.max_concurrency >= 1
    assert any("counted from the shape" in note for note in added.notes)


def billions(name: str) -> float | None:
    """What the publisher says of the size, in the model's name: `235B`, and of `8x22B` nothing."""
    sizes = re.findall(r"(?<![A-Za-z0-9.x])(\d+(?:\.\d+)?)B(?![A-Za-z])", name)
    return float(sizes[0]) if sizes else None


@NEEDS_CONFIGS
@pytest.mark.parametrize("name", [name for name in published_configs.names() if billions(name)])
def test_parameters_counted_from_the_shape_are_what_the_name_says(name: str) -> None:
    """Names are rounded, and say with an encoder of pictures what the shape of the language model leaves out."""
    said = billions(name)
    assert said is not None
    if "Llama-4" in name:
        said = {16: 109.0, 128: 401.0}[int(re.findall(r"(\d+)E", name)[0])]
    assert facts(name).parameters / 1e9 == pytest.approx(said, rel=0.15, abs=0.15)


@NEEDS_CONFIGS
@pytest.mark.parametrize("name", published_configs.names())
def test_a_published_model_is_understood_or_refused_by_the_key_that_is_not(name: str) -> None:
    if "compress_ratios" in published_configs.config(name):
        with pytest.raises(ProblemsError, match="compress_ratios"):
            facts(name)
        return
    understood = facts(name)
    assert understood.task is Task.GENERATE
    assert ModelFacts.model_validate(understood.model_dump(mode="json", by_alias=True)) == understood
    assert gpu_weight_bytes(understood, Quantization.FP8, Parallelism()) == pytest.approx(
        weight_bytes(understood, Quantization.FP8), rel=0.01
    )


@NEEDS_CONFIGS
def test_published_sizes_of_a_token_come_out() -> None:
    """DeepSeek-V3: 70 KB a token, GPT-OSS and Gemma keep all tokens in some of their layers alone."""
    assert kv_bytes_per_token(facts("deepseek-ai--DeepSeek-V3"), 8) == 61 * 576 * 2 == 70272
    assert kv_bytes_per_token(facts("openai--gpt-oss-20b")) == 12 * 2 * 8 * 64 * 2
    assert kv_bytes_per_token(facts("google--gemma-4-26B-A4B")) == 5 * 2 * 2 * 512 * 2
    assert kv_bytes_per_token(facts("Qwen--Qwen3.5-35B-A3B")) == 10 * 2 * 2 * 256 * 2
    kinds = {group.attention for group in facts("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16").layers}
    assert kinds == {AttentionKind.STATE, AttentionKind.NONE, AttentionKind.FULL}


BERT: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
}


@NEEDS_CONFIGS
@pytest.mark.parametrize(
    ("name", "preprocessors", "tokens"),
    [
        ("Qwen--Qwen3-VL-8B-Instruct", {}, {"image": None, "video": None}),
        (
            "Qwen--Qwen3-VL-8B-Instruct",
            {
                "preprocessor_config.json": {"size": {"longest_edge": 16777216, "shortest_edge": 65536}},
                "video_preprocessor_config.json": {"size": {"longest_edge": 25165824, "shortest_edge": 4096}},
            },
            {"image": 16384, "video": 12288},
        ),
        ("google--gemma-4-26B-A4B", {}, {"image": 280, "video": None}),
        ("nvidia--MiniMax-M3-NVFP4", {}, {"image": 5184, "video": None}),
        ("moonshotai--Kimi-K2.5", {}, {"vision_chunk": None}),
        ("Qwen--Qwen3-32B", {}, {}),
    ],
)
def test_what_a_model_reads_beside_text_is_what_its_files_say(
    tmp_path: Path, name: str, preprocessors: dict[str, Any], tokens: dict[str, int | None]
) -> None:
    files = {"config.json": published_configs.config(name), **preprocessors}
    folder = put(tmp_path, {file: json.dumps(content).encode() for file, content in files.items()})
    encoders = read_checkpoint(str(folder), NAME, REVISION).facts.encoders
    assert {encoder.modality.value: encoder.tokens for encoder in encoders} == tokens
    assert all(encoder.hidden_size == 1152 or name.startswith("nvidia") for encoder in encoders)
    assert not encoders or encoders[0].positions == (9 if "gemma" in name else 4)
    assert not encoders or encoders[0].outputs == (4 if "VL" in name else 1)


QWEN2_VL = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "video_token_id": 151656,
    "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "patch_size": 14, "spatial_merge_size": 2}
    | {"temporal_patch_size": 2},
}
LLAVA_NEXT = {
    "architectures": ["LlavaNextForConditionalGeneration"],
    "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "image_size": 336, "patch_size": 14},
}
INTERNVL = {
    "architectures": ["InternVLChatModel"],
    "max_dynamic_patch": 12,
    "downsample_ratio": 0.5,
    "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "image_size": 448, "patch_size": 14},
}
QWEN2_AUDIO = {
    "architectures": ["Qwen2AudioForConditionalGeneration"],
    "audio_config": {"d_model": 1280, "encoder_ffn_dim": 5120, "max_source_positions": 1500},
}


@pytest.mark.parametrize(
    ("more", "preprocessor", "tokens"),
    [
        (QWEN2_VL, {"max_pixels": 12845056, "merge_size": 2}, {"image": 16384, "video": 7 * 16384}),
        (LLAVA_NEXT, {}, {"image": 4 * 576 + 576}),
        (INTERNVL, {}, {"image": 13 * 256}),
        (QWEN2_AUDIO, {}, {"audio": 750}),
    ],
    ids=["pixels", "grid", "tiles", "sound"],
)
def test_the_largest_item_is_counted_as_the_models_kind_cuts_it(
    more: dict[str, Any], preprocessor: dict[str, Any], tokens: dict[str, int]
) -> None:
    read = model_facts(LLAMA | more, picture=preprocessor).encoders
    assert {encoder.modality.value: encoder.tokens for encoder in read} == tokens


def test_an_encoder_keeps_nothing_of_a_request() -> None:
    encoder = model_facts(BERT)
    assert (encoder.task, kv_bytes_per_token(encoder)) == (Task.CLASSIFY, 0)


def test_a_model_laid_out_for_sentence_transformers_makes_vectors_whatever_its_class_is(tmp_path: Path) -> None:
    files = {"config.json": json.dumps(LLAMA).encode(), "modules.json": b"[]"}
    checkpoint = read_checkpoint(str(put(tmp_path, files)), NAME, REVISION)
    assert checkpoint.facts.task is Task.EMBED


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({}, 512),
        ({"sentence_bert_config.json": {"max_seq_length": 256}}, 256),
        ({"sentence_xlm-roberta_config.json": {"max_seq_length": 384}}, 384),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        ({"tokenizer_config.json": {"model_max_length": 500}}, 500),
        ({"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        (
            {"tokenizer_config.json": {"model_max_length": 500}, "sentence_bert_config.json": {"max_seq_length": 256}},
            256,
        ),
    ],
)
def test_the_context_of_a_model_for_sentences_is_what_its_other_files_say(
    tmp_path: Path, files: dict[str, dict[str, Any]], length: int
) -> None:
    config = BERT | {"architectures": ["BertModel"], "position_embedding_type": "absolute"}
    texts = {name: json.dumps(content).encode() for name, content in {**files, "config.json": config}.items()}
    assert read_checkpoint(str(put(tmp_path, texts)), NAME, REVISION).facts.max_context == length


def test_a_tokenizers_limit_is_no_limit_of_a_model_that_writes_text(tmp_path: Path) -> None:
    config = LLAMA | {"position_embedding_type": "absolute"}
    files = {"config.json": config, "tokenizer_config.json": {"model_max_length": 500}}
    place = put(tmp_path, {name: json.dumps(content).encode() for name, content in files.items()})
    assert read_checkpoint(str(place), NAME, REVISION).facts.max_context == 4096


def test_weights_in_the_publishers_own_layout_do_not_count_twice(tmp_path: Path) -> None:
    files = {"config.json": json.dumps(LLAMA).encode()}
    for index in (1, 2):
        shard = safetensors({f"model.layers.{index - 1}.mlp.weight": 16384})
        files |= {f"{layout}-0000{index}-of-00002.safetensors": shard for layout in ("model", "consolidated")}
    assert read_checkpoint(str(put(tmp_path, files)), NAME, REVISION).facts.weights == {"U8": 2 * 16384}


def test_weights_in_32_bits_take_16_on_a_gpu_and_32_while_they_are_loaded() -> None:
    half = model_facts(LLAMA, WeightSizes({"BF16": 2_000_000}, 1_000_000))
    full = model_facts(LLAMA, WeightSizes({"F32": 4_000_000}, 1_000_000))
    on_gpu = [gpu_weight_bytes(each, Quantization.NONE, Parallelism()) for each in (half, full)]
    assert on_gpu == [2_000_000, 2_000_000]
    assert [weight_bytes(each, Quantization.NONE) for each in (half, full)] == [2_000_000, 4_000_000]


def test_layers_that_a_list_names_are_what_it_says_beside_keys_of_states() -> None:
    granite = LLAMA | {"layer_types": ["attention", "attention"], "mamba_d_state": 128, "mamba_n_heads": 48}
    assert [(group.attention, group.count) for group in model_facts(granite).layers] == [(AttentionKind.FULL, 2)]
    with pytest.raises(ProblemsError, match="mamba_d_state = 128: layers that are state and attention at once"):
        model_facts(LLAMA | {"mamba_d_state": 128})


LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 512,
    "vocab_size": 320,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize(
    ("more", "length"),
    [
        ({}, 4096),
        ({"rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 16384),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, 8192),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}}, 4096),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, 4096),
        ({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 4096),
    ],
)
def test_scaled_positions_count_once(more: dict[str, Any], length: int) -> None:
    assert max_context(LLAMA | more) == length


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"architectures": []}, "architectures"),
        ({"attn_config": {"kv_n_heads": 8}, "ffn_config": {"moe_num_experts": 16}}, "attn_config.kv_n_heads"),
        ({"ffn_config": {"moe_num_experts": 16}}, "ffn_config.moe_num_experts"),
        ({"layer_types": ["full_attention", "holographic"]}, "layer_types[1]"),
        ({"quantization_config": {"bits": 4}}, "quantization_config.quant_method"),
        ({"layer_types": ["mamba", "mamba"]}, "ssm_state_size"),
    ],
)
def test_a_config_that_lacks_a_fact_is_refused_by_its_key(change: dict[str, Any], path: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        model_facts(LLAMA | change)
    assert caught.value.problems[0].path == path


@pytest.mark.parametrize(
    ("stored", "method", "layout"),
    [
        ({"producer": {"name": "modelopt"}, "quant_algo": "FP8"}, "modelopt", "FP8"),
        ({"producer": "modelopt", "quant_algo": "FP8"}, "modelopt", "FP8"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "naive-quantized",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "compressed-tensors",
            "naive-quantized float",
        ),
    ],
)
def test_how_weights_are_stored_is_read_from_where_the_publisher_says_it(
    stored: dict[str, Any], method: str, layout: str
) -> None:
    quantization = model_facts(LLAMA | {"quantization_config": stored}).quantization
    assert quantization is not None
    assert (quantization.method, quantization.format) == (method, layout)


def test_a_key_that_is_left_to_a_default_is_named_with_the_way_to_give_it() -> None:
    with pytest.raises(ProblemsError, match=r"num_attention_heads.*default of transformers.*--config"):
        model_facts({key: value for key, value in LLAMA.items() if key != "num_attention_heads"})


GEMMA_3: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
}
LLAVA: dict[str, Any] = {
    "architectures": ["LlavaForConditionalGeneration"],
    "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32064},
}


@pytest.mark.parametrize(
    ("config", "billions", "length"), [(GEMMA_3, 3.9, 131072), (LLAVA, 6.7, 4096)], ids=["Gemma 3 4B", "LLaVA 1.5 7B"]
)
def test_what_a_published_file_leaves_to_transformers_is_its_default(
    config: dict[str, Any], billions: float, length: int
) -> None:
    understood = model_facts(config)
    assert understood.parameters / 1e9 == pytest.approx(billions, rel=0.02)
    assert understood.max_context == length


def test_gemma_3_keeps_all_tokens_in_every_sixth_layer() -> None:
    counts = {group.attention: group.count for group in model_facts(GEMMA_3).layers}
    assert counts == {AttentionKind.SLIDING: 29, AttentionKind.FULL: 5}


def test_a_width_is_read_under_blooms_name_for_it() -> None:
    bloom = {
        "architectures": ["BloomForCausalLM"],
        "n_embed": 1024,
        "n_layer": 24,
        "num_attention_heads": 16,
        "vocab_size": 250880,
        "seq_length": 2048,
    }
    understood = model_facts(bloom)
    assert (understood.hidden_size, understood.tied_embeddings) == (1024, True)
    assert understood.parameters / 1e6 == pytest.approx(559, rel=0.01)


def test_latent_vectors_that_the_engine_expands_are_kept_whole() -> None:
    minicpm = LLAMA | {"kv_lora_rank": 256, "q_lora_rank": 768, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32}
    minicpm |= {"v_head_dim": 64, "num_attention_heads": 40, "num_key_value_heads": 40}
    assert kv_bytes_per_token(model_facts(minicpm | {"model_type": "minicpm3"})) == 2 * 2 * 40 * 96 * 2
    assert kv_bytes_per_token(model_facts(minicpm | {"model_type": "deepseek_v3"})) == 2 * (256 + 32) * 2


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("BertModel", Task.EMBED),
        ("Qwen2ForRewardModel", Task.EMBED),
        ("LlamaForRewardModeling", Task.EMBED),
        ("ResNetForImageClassification", Task.CLASSIFY),
        ("JinaVLForRanking", Task.CLASSIFY),
        ("ChatGLMModel", Task.GENERATE),
        ("UltravoxModel", Task.GENERATE),
        ("MiniCPMV", Task.GENERATE),
        ("NVLM_D", Task.GENERATE),
    ],
)
def test_a_class_has_the_task_that_vllm_gives_it(name: str, task: Task) -> None:
    assert task_of(name) is task


@pytest.mark.parametrize(
    "change",
    [
        {"num_key_value_heads": 0},
        {"model_max_length": 10**30, "max_position_embeddings": None},
        {"full_attention_interval": 0},
        {"num_experts": 8, "moe_intermediate_size": 64, "mlp_layer_types": ["sparse"]},
        {"quantization_config": {"quant_method": "awq", "bits": "int4"}},
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": ["weights"]}}},
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": ["group_0"]}},
        {"rope_scaling": {"type": "linear", "factor": "8x"}},
        {"rope_scaling": "linear"},
        {"layers_block_type": 7},
        {"architectures": {"LlamaForCausalLM": 1}},
    ],
    ids=str,
)
def test_a_config_with_odd_values_is_refused_by_its_name(tmp_path: Path, change: dict[str, Any]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA | change))
    with pytest.raises(ProblemsError, match=rf"{config}: .*cannot be understood: "):
        read_config(config)
    with pytest.raises(ProblemsError, match=r"config\.json: .*cannot be understood: "):
        read_checkpoint(str(tmp_path), NAME, REVISION)


@pytest.mark.parametrize(
    ("card", "license"),
    [
        (b"---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        (b"---\nlicense: mit\ndate: 2024-02-30\n---\n", None),
        (b"---\nlicense: [\n---\n", None),
        (b"---\nlicense: mit", "mit"),
    ],
)
def test_the_licence_of_a_card_is_read_or_left_out(tmp_path: Path, card: bytes, license: str | None) -> None:
    place = put(tmp_path, {"config.json": json.dumps(LLAMA).encode(), "README.md": card})
    assert read_checkpoint(str(place), NAME, REVISION).license == license


@pytest.mark.parametrize(
    ("templates", "chosen"),
    [
        ([{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}], "b"),
        (["a", {"name": "default", "template": "b"}], "b"),
        (["a"], None),
    ],
)
def test_of_several_templates_the_default_is_taken(tmp_path: Path, templates: list[Any], chosen: str | None) -> None:
    tokenizer = json.dumps({"chat_template": templates}).encode()
    place = put(tmp_path, {"config.json": json.dumps(LLAMA).encode(), "tokenizer_config.json": tokenizer})
    assert read_checkpoint(str(place), NAME, REVISION).chat_template == chosen


def header(tensor: Any) -> bytes:
    text = json.dumps({"model.norm.weight": tensor}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("chat_template.jinja", b"{{ messages }} \xff", r"chat_template\.jinja: is no text in UTF-8"),
        ("model.safetensors", header({"dtype": "BF16", "shape": [1]}), "model.norm.weight"),
        ("model.safetensors", header({"dtype": "BF16", "shape": [1], "data_offsets": [0]}), "model.norm.weight"),
        ("model.safetensors", header("BF16"), r"model\.safetensors: is damaged"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    place = put(tmp_path, {"config.json": json.dumps(LLAMA).encode(), name: content})
    with pytest.raises(ProblemsError, match=message):
        read_checkpoint(str(place), NAME, REVISION)


def test_a_quantization_that_is_no_object_leaves_the_method_that_its_producer_names(tmp_path: Path) -> None:
    apart = json.dumps({"producer": {"name": "modelopt"}, "quantization": "FP8"}).encode()
    place = put(tmp_path, {"config.json": json.dumps(LLAMA).encode(), "hf_quant_config.json": apart})
    quantization = read_checkpoint(str(place), NAME, REVISION).facts.quantization
    assert quantization is not None
    assert quantization.format is None


@pytest.mark.parametrize("model", ["", "model: a/b\n", "model: {architecture: qwen3-0.6b}\n"])
def test_a_file_to_start_from_needs_no_model_where_one_is_read(folder: Path, tmp_path: Path, model: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA))
    start = tmp_path / "start.yaml"
    start.write_text("engine: {name: vllm, version: 0.32.0}\nimage: vllm-openai@0.32.0\ncontextLength: 2048\n" + model)
    read_model = ReadModel(NAME, REVISION, read_config(config))
    changes = ["model.architecture=null", "model.license=mit"]
    added = add_release("mine", "1.0.0", source=start, read=read_model, changes=changes, folder=folder)
    assert added.release.spec.model.repository == NAME


def test_a_model_without_a_licence_in_its_card_is_answered_with_how_to_name_it(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA))
    read_model = ReadModel(NAME, REVISION, read_config(config))
    with pytest.raises(ProblemsError, match=r"model\.license: the card of acme/tiny names none.*--set model\.license="):
        add_release("mine", "1.0.0", read=read_model, folder=folder)


def test_a_template_of_a_model_that_writes_no_text_need_not_take_a_conversation(folder: Path, tmp_path: Path) -> None:
    tokenizer = json.dumps({"chat_template": "{{ messages[7]['content'] }}"}).encode()
    files = {"config.json": json.dumps(BERT).encode(), "tokenizer_config.json": tokenizer}
    read_model = ReadModel(NAME, REVISION, read_checkpoint(str(put(tmp_path, files)), NAME, REVISION))
    add_release("mine", "1.0.0", read=read_model, changes=["model.license=mit"], folder=folder)


def test_a_model_for_sentences_of_128_tokens_gets_a_release(folder: Path, tmp_path: Path) -> None:
    files = {"config.json": BERT, "sentence_bert_config.json": {"max_seq_length": 128}}
    place = put(tmp_path, {name: json.dumps(content).encode() for name, content in files.items()})
    read_model = ReadModel(NAME, REVISION, read_checkpoint(str(place), NAME, REVISION))
    added = add_release("mine", "1.0.0", read=read_model, changes=["model.license=mit"], folder=folder)
    assert added.release.spec.context_length == 128


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["release", "add", *arguments, "--releases", str(folder)])
    return result.exit_code, result.output + str(result.exception or "")


def test_a_newcomers_model_needs_its_name_and_its_commit_alone(folder: Path, tmp_path: Path) -> None:
    card = b"---\nlicense: mit\n---\n# A model\n"
    files = {"config.json": json.dumps(LLAMA).encode(), "README.md": card}
    place = put(tmp_path, files)
    status, output = run(folder, "mine", "1.0.0", "--model", NAME, "--revision", REVISION, "--source", str(place))
    assert status == 0, output
    data = yaml.safe_load((folder / "mine" / "1.0.0.yaml").read_text())
    assert data["model"]["license"] == "mit"
    assert data["contextLength"] == 4096
    assert data["quantization"] == "none"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--revision", REVISION], "--model REPOSITORY"),
        (["--model", NAME], "git ls-remote"),
        (["--model", NAME, "--revision", "main"], "no full commit"),
        (["--model", NAME, "--revision", REVISION, "--config", "nowhere.json"], "cannot be read"),
        (["--model", NAME, "--revision", REVISION, "--source", "nowhere"], "is no folder"),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_option_that_named_it(
    folder: Path, arguments: list[str], message: str
) -> None:
    status, output = run(folder, "mine", "1.0.0", *arguments)
    assert status != 0
    assert message in output
    assert not (folder / "mine").exists()


def test_facts_of_one_commit_are_not_taken_for_another(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA))
    first = ReadModel(NAME, REVISION, read_config(config))
    add_release("mine", "1.0.0", read=first, changes=["model.license=mit"], folder=folder)
    with pytest.raises(ProblemsError, match=r"model\.revision.*facts were read from acme/tiny.*--model acme/tiny"):
        add_release("mine", "1.1.0", base="1.0.0", changes=[f"model.revision={'f' * 40}"], folder=folder)
    second = ReadModel(NAME, "f" * 40, read_config(config))
    added = add_release("mine", "1.1.0", base="1.0.0", read=second, folder=folder)
    assert added.release.spec.model.license == "mit"


def test_a_row_of_the_catalog_with_another_shape_than_the_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA))
    read_model = ReadModel(NAME, REVISION, read_config(config))
    with pytest.raises(ProblemsError, match=r"model\.architecture = 'qwen3-0\.6b': acme/tiny has another shape"):
        add_release("qwen3-0-6b", "2.0.0", base="1.0.0", read=read_model, folder=folder)
    leaving = ["model.architecture=null", "model.license=mit", "contextLength=2048"]
    added = add_release("qwen3-0-6b", "2.0.0", base="1.0.0", read=read_model, changes=leaving, folder=folder)
    assert added.release.spec.model.facts is not None
