"""Calibration data: text files, as sequences of tokens of one length.

``.txt`` is one document; ``.jsonl`` has one a line, ``{"text": "…"}`` or ``{"messages": […]}``, which go through the
model's chat template. Documents follow each other with the end token in between, and are cut into sequences: none is
padded, so each token counts the same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_serving_quantize.errors import QuantizeError

SUFFIXES = (".jsonl", ".txt")


def read_documents(place: Path, tokenizer: Any) -> Iterator[str]:
    """The documents of a file, or of all files of a folder in the order of their names.

    Raises:
        QuantizeError: nothing is there that can be read.
    """
    if not place.exists():
        raise QuantizeError(f"--calibration {place}: it is not there; put the text files there, or name another place")
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    if not files:
        raise QuantizeError(f"--calibration {place}: it holds no {' or '.join(SUFFIXES)} file; put some there")
    for path in files:
        yield from _documents(path, tokenizer)


def _documents(path: Path, tokenizer: Any) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise QuantizeError(f"{path}: it cannot be read as text ({error}); replace or remove it") from None
    if path.suffix != ".jsonl":
        yield text
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield _document(f"{path}:{number}", line, tokenizer)


def _document(where: str, line: str, tokenizer: Any) -> str:
    try:
        record = json.loads(line)
        if isinstance(record["text"] if "text" in record else record["messages"], str):
            return str(record["text"])
        return str(tokenizer.apply_chat_template(record["messages"], tokenize=False))
    except (ValueError, KeyError, TypeError) as error:
        raise QuantizeError(
            f'{where}: it is neither {{"text": "…"}} nor {{"messages": […]}} that the model\'s chat template takes '
            f"({type(error).__name__}: {error}); correct or remove the line"
        ) from None
    except Exception as error:  # whatever a template raises
        raise QuantizeError(f"{where}: the model's chat template refuses it ({error}); correct the line") from None


def sequences(documents: Iterator[str], tokenizer: Any, samples: int, length: int) -> list[list[int]]:
    """So many sequences of so many tokens, from the documents in their order.

    Raises:
        QuantizeError: the documents are too short.
    """
    tokens: list[int] = []
    needed = samples * length
    for document in documents:
        tokens += tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
        if tokenizer.eos_token_id is not None:
            tokens.append(tokenizer.eos_token_id)
        if len(tokens) >= needed:
            break
    else:
        enough = len(tokens) // length
        other = f"--samples={enough}" if enough else f"--sequence-length={max(1, len(tokens))} --samples=1"
        raise QuantizeError(
            f"--calibration has {len(tokens)} tokens, and {samples} samples of {length} need {needed}; add text, or "
            f"take {other}"
        )
    return [tokens[start : start + length] for start in range(0, needed, length)]
