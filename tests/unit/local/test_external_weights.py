"""Weights that somebody else brings, in the buckets of the local clouds."""

from pathlib import Path
from typing import Any

import pytest

from llm_serving.errors import ProblemsError
from local.external_weights import seed
from local.providers.store import Store
from local.state_folder import StateFolder
from stacks.settings import Stack, parse_settings, resolve
from tests.unit.stacks.settings_files import settings_data

TOKEN = "gcp:storage/bucket:Bucket"


def stack(**changes: Any) -> Stack:
    return resolve(parse_settings(settings_data("dev") | changes, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")


def external() -> Stack:
    return stack(loader=None, weights="external")


def make_bucket(state: StateFolder, name: str, stack_name: str) -> None:
    urn = f"urn:pulumi:{stack_name}::llm-serving::{TOKEN}::{name}"
    Store(state.clouds / "gcp").finish(TOKEN, name, urn, {}, {"name": name})


def test_the_releases_that_a_stack_serves_are_put_into_its_own_bucket(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    make_bucket(state, "ours", "dev")
    make_bucket(state, "theirs", "prod")
    assert list(seed(state, "dev", external())) == ["gs://ours/qwen3-0-6b/1.0.0"]
    release = external().models[0].release.spec
    assert state.bucket_weights.find("ours", "qwen3-0-6b/1.0.0") == release.model.revision
    assert state.bucket_weights.prefixes("theirs") == []


def test_a_stack_that_loads_its_weights_gets_none(tmp_path: Path) -> None:
    make_bucket(StateFolder(tmp_path), "ours", "dev")
    with pytest.raises(ProblemsError, match=r"Pulumi\.dev\.yaml: llm-serving:loader: .*weights: external"):
        list(seed(StateFolder(tmp_path), "dev", stack()))


def test_a_stack_without_a_bucket_is_told_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match=r"no bucket of this stack yet .*make up STACK=dev"):
        list(seed(StateFolder(tmp_path), "dev", external()))
