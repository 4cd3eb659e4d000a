"""The model that is quantized: whether it can be, and its files beside the weights."""

import json
import shutil
from pathlib import Path
from typing import Any

from llm_serving_quantize.errors import QuantizeError

CONFIG = "config.json"
MANIFEST = "manifest.json"
"""The loader's: of the copy that it lies in, and of no other."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_ENCODERS = ("vision_config", "audio_config")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


def read_config(base: Path) -> dict[str, Any]:
    """The model's configuration.

    Raises:
        QuantizeError: there is none, or it is of a model that is not quantized here; the text says why.
    """
    path = base / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QuantizeError(f"{path}: it cannot be read ({error}); name the folder of a model with --base") from None
    if not isinstance(config, dict):
        raise QuantizeError(f"{path}: it holds no JSON object; name the folder of a model with --base")
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise QuantizeError(f"{path}: its weights are quantized already ({method}); take the 16-bit weights as base")
    experts = [name for name in _EXPERTS if (config.get(name) or 0) > 1]
    if experts:
        raise QuantizeError(
            f"{path}: it is a mixture of experts ({experts[0]} {config[experts[0]]}), whose experts need calibration "
            "of their own; take a dense model, or a checkpoint that its publisher quantized"
        )
    encoders = [name for name in _ENCODERS if config.get(name)]
    if encoders:
        raise QuantizeError(f"{path}: it reads more than text ({encoders[0]}); take a model of text alone")
    if not architecture(config).endswith("ForCausalLM"):
        raise QuantizeError(
            f"{path}: {architecture(config)!r} writes no text; take a model whose class ends ForCausalLM"
        )
    return config


def architecture(config: dict[str, Any]) -> str:
    """Class of the model; empty where the configuration names none."""
    return str((config.get("architectures") or [""])[0])


def copy_companions(base: Path, result: Path) -> None:
    """Copy what lies beside configuration and weights as it is: tokenizer, chat template, sampling defaults. What a
    library would write anew may differ, and with it answers."""
    for path in sorted(base.iterdir()):
        name = path.name
        left_out = name in (CONFIG, MANIFEST) or name.startswith(".") or name.endswith((*_WEIGHTS, ".index.json"))
        if path.is_file() and not left_out:
            shutil.copyfile(path, result / name)
