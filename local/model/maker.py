"""Puts the tiny model into a folder, as a source of the model loader: ``<org>/<name>/<revision>/files``.

The revision is the beginning of a hash over names and contents, as a commit of a model hub is. Leaves who loads it
from there to the images.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.model import tokenizer, weights
from local.model.variants import REPOSITORY, SHAPE, VARIANTS

_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
"""Engines run as a user of their own and must read what root made."""


class ModelError(Exception):
    """The model cannot be made or written; the text says why and what to do."""


@dataclass(frozen=True)
class Made:
    """A model in a folder.

    Attributes:
        repository: ``org/name``.
        revision: 40 hexadecimal digits.
        folder: where its files are.
    """

    repository: str
    revision: str
    folder: Path


def make(target: Path, seed: int = VARIANTS[0].seed) -> Made:
    """Make the model of a seed below ``target``; one that is there and intact is left alone.

    The folder appears in one step, complete. Several makers at once are safe.

    Raises:
        ModelError: the folder cannot be written, or a known seed gave another revision than its release names.
    """
    if seed < 0:
        raise ModelError(f"seed {seed}: it must not be negative; use 0 or more")
    files = contents(seed)
    revision = revision_of(files)
    for variant in VARIANTS:
        if variant.seed == seed and variant.revision != revision:
            raise ModelError(
                f"seed {seed} gave revision {revision}, and release {variant.release} names {variant.revision}: its "
                "files changed (local/model, or another version of safetensors). Undo the change, or add a variant "
                "for it to local/model/variants.py and a release"
            )
    folder = target / REPOSITORY / revision
    if not _intact(folder, files):
        try:
            _write(folder, files)
        except OSError as error:
            raise ModelError(
                f"{folder}: the model cannot be written: {error.strerror or error}; name a folder that can be "
                "written with --target"
            ) from error
    return Made(REPOSITORY, revision, folder)


def contents(seed: int) -> dict[str, bytes]:
    """The model's files by name."""
    return {
        "config.json": _json(_config()),
        "generation_config.json": _json(_generation_config()),
        "model.safetensors": weights.checkpoint(seed),
        "special_tokens_map.json": _json(tokenizer.special_tokens_map()),
        "tokenizer.json": _json(tokenizer.tokenizer()),
        "tokenizer_config.json": _json(tokenizer.tokenizer_config()),
    }


def revision_of(files: dict[str, bytes]) -> str:
    """First 40 hexadecimal digits of a SHA-256 over each file's name, size and content, in the order of names."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:40]


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_id(tokenizer.BEGIN),
        "eos_token_id": _ends(),
        "head_dim": SHAPE.head_dim,
        "hidden_act": "silu",
        "hidden_size": SHAPE.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": SHAPE.intermediate_size,
        "max_position_embeddings": SHAPE.max_context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": SHAPE.heads,
        "num_hidden_layers": SHAPE.layers,
        "num_key_value_heads": SHAPE.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": SHAPE.vocabulary,
    }


def _generation_config() -> dict[str, Any]:
    return {
        "bos_token_id": tokenizer.token_id(tokenizer.BEGIN),
        "do_sample": True,
        "eos_token_id": _ends(),
        "pad_token_id": tokenizer.token_id(tokenizer.PADDING),
    }


def _ends() -> list[int]:
    return [tokenizer.token_id(tokenizer.END), tokenizer.token_id(tokenizer.TURN_END)]


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode()


def _intact(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        names = {path.name for path in folder.iterdir()}
        return names == files.keys() and all((folder / name).read_bytes() == files[name] for name in files)
    except OSError:
        return False


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write beside the folder, then take its place; what was there and is not intact goes away."""
    _make_folders(folder.parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        new.chmod(_FOLDER_MODE)
        for name, content in files.items():
            path = new / name
            path.write_bytes(content)
            path.chmod(_FILE_MODE)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # another maker is doing the same
            if folder.is_dir() and not folder.is_symlink():
                folder.rename(old)
            elif os.path.lexists(folder):
                folder.unlink()
        try:
            new.rename(folder)
        except OSError:
            # Another maker was faster, and what it made is as good.
            if not _intact(folder, files):
                raise
        if old.exists():
            shutil.rmtree(old)


def _make_folders(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        path.chmod(_FOLDER_MODE)
