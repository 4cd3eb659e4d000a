"""The tiny model: the same bytes everywhere, complete or not there, and what engines expect of a Llama."""

import json
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llm_serving_load.checks import check, select_files
from llm_serving_load.sources import open_source
from safetensors import deserialize

from local.model import REPOSITORY, VARIANTS, make
from local.model.maker import contents, revision_of
from local.model.tokenizer import BYTES, SPECIAL, byte_symbols, token_id, tokenizer
from local.model.variants import SHAPE
from local.model.weights import bfloat16, tensors
from tests.unit.local.command_line import exit_status


def test_seeds_give_the_revisions_that_releases_name(tmp_path: Path) -> None:
    for variant in VARIANTS:
        made = make(tmp_path, variant.seed)
        assert (made.repository, made.revision) == (REPOSITORY, variant.revision)
        assert made.folder == tmp_path / REPOSITORY / variant.revision


def test_variants_differ_in_their_weights_and_in_nothing_else() -> None:
    first, second = (contents(variant.seed) for variant in VARIANTS)
    assert {name for name in first if first[name] != second[name]} == {"model.safetensors"}


def test_the_revision_follows_names_and_contents() -> None:
    files = contents(1)
    renamed = {name.replace("config.json", "configs.json"): content for name, content in files.items()}
    assert len({revision_of(files), revision_of(renamed), revision_of({**files, "config.json": b"{}"})}) == 3


def test_every_user_can_read_the_model_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = make(tmp_path / "source").folder
    finally:
        os.umask(before)
    for path in [folder.parent.parent.parent, folder, *folder.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_a_model_that_is_there_is_left_alone_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    folder = make(tmp_path).folder
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}
    assert make(tmp_path).folder == folder
    assert {path: path.stat().st_mtime_ns for path in before} == before

    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "more.json").touch()
    make(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents(1)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_makers_at_once_make_one_whole_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local", "model", "make", f"--target={tmp_path}"]
    makers = [subprocess.Popen(command, cwd=Path(__file__).parents[4], stdout=subprocess.PIPE) for _ in range(3)]
    for maker in makers:
        maker.communicate()
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    assert sorted(path.name for path in (tmp_path / REPOSITORY).iterdir()) == sorted(v.revision for v in VARIANTS)


def test_the_shape_is_the_one_that_configuration_and_checkpoint_have() -> None:
    files = contents(1)
    config = json.loads(files["config.json"])
    assert config["vocab_size"] == SHAPE.vocabulary == BYTES + len(SPECIAL)
    assert config["num_attention_heads"] * config["head_dim"] == config["hidden_size"]
    read = deserialize(files["model.safetensors"])
    assert {entry["dtype"] for _, entry in read} == {"BF16"}
    assert sum(len(entry["data"]) for _, entry in read) == 2 * SHAPE.parameters
    shapes = {name: tuple(entry["shape"]) for name, entry in read}
    assert shapes["model.layers.1.self_attn.k_proj.weight"] == (SHAPE.kv_heads * SHAPE.head_dim, SHAPE.hidden_size)
    assert shapes["lm_head.weight"] == (SHAPE.vocabulary, SHAPE.hidden_size)


def test_the_checkpoint_is_one_that_the_loader_takes(tmp_path: Path) -> None:
    made = make(tmp_path)
    source = open_source(f"file://{tmp_path}", made.repository, made.revision)
    assert {file.name for file in select_files(source.files())} == contents(1).keys()
    check(source, select_files(source.files()))


def test_rounding_to_bfloat16_is_to_nearest_with_ties_to_even() -> None:
    exact = [0.0, 1.0, -2.5, 0.00390625]
    values = [*exact, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20]
    expected = [*exact, 1.0, 1 + 2**-6, 1 + 2**-7]
    bits = bfloat16(np.array(values, dtype=np.float32))
    assert [struct.unpack("<f", struct.pack("<I", int(word) << 16))[0] for word in bits] == expected


def test_a_token_is_a_byte_and_every_id_has_a_text() -> None:
    document = tokenizer()
    assert document["model"]["vocab"] == {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    assert len(set(byte_symbols())) == BYTES
    assert (byte_symbols()[ord("A")], byte_symbols()[ord(" ")], byte_symbols()[0xFF]) == ("A", "\u0120", "\u00ff")
    assert [token["id"] for token in document["added_tokens"]] == list(range(BYTES, SHAPE.vocabulary))


def test_answers_are_plain_text_and_go_on_until_the_limit() -> None:
    rows = tensors(1)["lm_head.weight"]
    spoken = {token for token in range(SHAPE.vocabulary) if rows[token].any()}
    assert bytes(sorted(spoken)) == b" ,.abcdefghijklmnopqrstuvwxyz"
    ends = json.loads(contents(1)["generation_config.json"])["eos_token_id"]
    assert ends == [token_id("<|end_of_text|>"), token_id("<|eot_id|>")]
    assert not spoken & set(ends)


def test_a_seed_that_no_release_names_makes_a_model_of_its_own(tmp_path: Path) -> None:
    made = make(tmp_path, 77)
    assert made.revision not in {variant.revision for variant in VARIANTS}
    assert made.folder.is_dir()


def test_what_cannot_be_made_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert exit_status("model", "make", f"--target={tmp_path / 'file'}") == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {tmp_path}/file/{REPOSITORY}/")
    assert "name a folder that can be written with --target" in errors
    assert exit_status("model", "make", f"--target={tmp_path}", "--seed=-1") == 1
    assert "seed -1: it must not be negative" in capsys.readouterr().err


def test_the_command_makes_what_releases_need_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status("model", "make", f"--target={tmp_path}") == 0
    folders = capsys.readouterr().out.split()
    assert folders == [str(tmp_path / REPOSITORY / variant.revision) for variant in VARIANTS]
    shutil.rmtree(tmp_path / REPOSITORY)
    assert exit_status("model", "list") == 0
    assert f"{REPOSITORY} {VARIANTS[1].revision} release 1.1.0, seed 2" in capsys.readouterr().out
