"""Quantizes a model in a folder into another one.

The weights lie in host memory and come to the accelerator layer by layer ("sequential onloading" of llm-compressor), so
that one GPU is enough, and what has to be large is the host's memory.
"""

# llm-compressor and torch are in the image alone.
# pyright: reportMissingImports=false

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_serving_quantize import calibration
from llm_serving_quantize.errors import QuantizeError
from llm_serving_quantize.model import architecture, copy_companions, read_config
from llm_serving_quantize.schemes import SCHEMES

SEED = 0
"""Nothing here is drawn at random by intent; what a library draws is the same each time."""


@dataclass(frozen=True)
class Calibration:
    """Text that the model reads while it is quantized.

    Attributes:
        place: a file, or a folder of files.
        samples: sequences.
        sequence_length: tokens of each.
    """

    place: Path
    samples: int
    sequence_length: int


@dataclass(frozen=True)
class Request:
    """What is made of what.

    Attributes:
        base: folder of the model.
        result: folder to make.
        scheme: one of :data:`~llm_serving_quantize.schemes.SCHEMES`.
        calibration: ``None`` for schemes that need none.
    """

    base: Path
    result: Path
    scheme: str
    calibration: Calibration | None


def quantize(request: Request, say: Callable[[str], None]) -> None:
    """Make the result. It appears in one step, complete.

    Raises:
        QuantizeError: the model or the data cannot be quantized like this.
    """
    scheme = SCHEMES[request.scheme]
    config = read_config(request.base)
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    random.seed(SEED)
    set_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(request.base)
    data = _loader(request.calibration, tokenizer, config, say)
    say(f"loading {request.base}")
    model = AutoModelForCausalLM.from_pretrained(request.base, dtype="auto")
    say(f"quantizing {sum(weight.numel() for weight in model.parameters()) / 1e9:.3g} billion parameters")
    recipe = scheme.modifiers(architecture(config))
    # The pipeline is chosen by the recipe: with data layer by layer, without any over all weights at once.
    oneshot(model=model, recipe=recipe, **({} if data is None else {"dataset": data}))
    partial = request.result.with_name(f".{request.result.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    say(f"writing {request.result}")
    model.save_pretrained(partial, save_compressed=True)
    copy_companions(request.base, partial)
    partial.rename(request.result)


def _loader(
    request: Calibration | None, tokenizer: Any, config: dict[str, Any], say: Callable[[str], None]
) -> Any | None:
    """The calibration data as llm-compressor takes it; ``None`` where there is none."""
    if request is None:
        return None
    longest = config.get("max_position_embeddings")
    if longest is not None and request.sequence_length > longest:
        raise QuantizeError(
            f"--sequence-length {request.sequence_length}: the model was made for at most {longest} tokens; take "
            f"{longest}"
        )
    import torch
    from torch.utils.data import DataLoader

    documents = calibration.read_documents(request.place, tokenizer)
    samples = calibration.sequences(documents, tokenizer, request.samples, request.sequence_length)
    say(f"calibration: {len(samples)} sequences of {request.sequence_length} tokens")

    def batch(rows: list[list[int]]) -> dict[str, Any]:
        tokens = torch.tensor(rows)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    return DataLoader(samples, batch_size=1, collate_fn=batch)  # pyright: ignore[reportArgumentType]
