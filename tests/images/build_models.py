"""Run by a Python of its own: vLLM says what it makes of models, without their weights and without an engine.

``python build_models.py SITE_PACKAGES`` reads from standard input ``{"configs": {name: config.json}, "defaults": {name:
[class of a model, class of its config in transformers]}}``. By name it writes ``{"config", "max_context", "parameters",
"caches"}`` or ``{"refused": why}``. The models are built on PyTorch's device ``meta``, which holds no numbers. A cache
is ``[kind, layers, bytes of a token or of a state, window]``, of the KV-cache specification of each layer.
"""

import json
import os
import sys
import tempfile
from collections import Counter
from math import prod
from pathlib import Path

sys.path.insert(0, sys.argv[1])
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"

import torch
import transformers
from vllm.config import set_current_vllm_config
from vllm.distributed import (
    destroy_model_parallel,
    init_distributed_environment,
    initialize_model_parallel,
)
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import ModelRegistry
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.kv_cache_interface import ChunkedLocalAttentionSpec, EncoderOnlyAttentionSpec, MambaSpec, SlidingWindowSpec


def main() -> None:
    request = json.load(sys.stdin)
    configs = dict(request["configs"])
    for name, (architecture, config) in request["defaults"].items():
        configs[name] = {**getattr(transformers, config)().to_dict(), "architectures": [architecture]}
    with tempfile.TemporaryDirectory() as folder:
        init_distributed_environment(1, 0, f"file://{folder}/group", 0, "gloo")
        answers = {name: {"config": config, **build(config)} for name, config in configs.items()}
    json.dump(answers, sys.stdout)


def build(config: dict) -> dict:
    try:
        # Else vLLM imports each model in a process of its own first, which takes as long as all of them together.
        for architecture in config["architectures"]:
            ModelRegistry.register_model(architecture, ModelRegistry.models[architecture].load_model_cls())
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(config))
            arguments = EngineArgs(
                model=folder, tokenizer=folder, skip_tokenizer_init=True, load_format="dummy", dtype="bfloat16"
            )
            vllm_config = arguments.create_engine_config()
        with set_current_vllm_config(vllm_config):
            initialize_model_parallel(1, 1)
            with set_default_torch_dtype(torch.bfloat16), torch.device("meta"):
                model = initialize_model(vllm_config=vllm_config)
        caches = Counter()
        for layer in vllm_config.compilation_config.static_forward_context.values():
            spec = layer.get_kv_cache_spec(vllm_config) if hasattr(layer, "get_kv_cache_spec") else None
            if spec is not None and not isinstance(spec, EncoderOnlyAttentionSpec):
                caches[cache(spec)] += 1
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        destroy_model_parallel()
    return {
        "max_context": vllm_config.model_config.max_model_len,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "caches": [[kind, layers, size, window] for (kind, size, window), layers in caches.items()],
    }


def cache(spec) -> tuple[str, int, int | None]:
    if isinstance(spec, MambaSpec):
        shapes = zip(spec.shapes, spec.dtypes, strict=True)
        return "state", sum(prod(shape) * dtype.itemsize for shape, dtype in shapes), None
    size = spec.real_page_size_bytes // spec.block_size
    if isinstance(spec, SlidingWindowSpec):
        return "sliding", size, spec.sliding_window
    if isinstance(spec, ChunkedLocalAttentionSpec):
        return "sliding", size, spec.attention_chunk_size
    return "all", size, None


if __name__ == "__main__":
    main()
