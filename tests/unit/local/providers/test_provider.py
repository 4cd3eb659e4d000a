"""The framework, by a plugin that does as little as a plugin can."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from llm_serving.errors import Problem
from local.providers.differences import Difference, compare
from local.providers.faults import FaultPlan
from local.providers.properties import UNKNOWN, Secret, from_struct, to_struct
from local.providers.provider import (
    Autoname,
    Checked,
    CloudError,
    Created,
    InitializationFailedError,
    Plugin,
    Resource,
    State,
)
from local.state_folder import StateFolder
from tests.unit.local.providers.engine import Engine, RefusedError, kept_resource

TOKEN = "toy:index:Thing"


class Toy(Plugin):
    """Echoes what it gets."""

    name = "toy"
    version = "1.2.3"

    def check(
        self, resource: Resource, inputs: dict[str, Any], olds: dict[str, Any] | None, autoname: Autoname
    ) -> Checked:
        bad = [Problem(path, value, "is bad", "good") for path, value in inputs.items() if value == "bad"]
        nested = inputs.get("nested")
        if isinstance(nested, dict) and nested.get("value") == "bad":
            bad.append(Problem("nested.value", "bad", "is bad too"))
        return Checked({**inputs, "urnName": resource.name, "new": olds is None}, bad)

    def diff(
        self,
        resource: Resource,
        id: str,
        old_inputs: dict[str, Any],
        outputs: dict[str, Any],
        inputs: dict[str, Any],
        ignored: Sequence[str] = (),
    ) -> Difference:
        if ignored:
            inputs = {**inputs, **{path: old_inputs.get(path) for path in ignored}}
        return compare(old_inputs, inputs, replaces=lambda path: path == "fixed")

    def create(self, resource: Resource, inputs: dict[str, Any], timeout: float, preview: bool) -> Created:
        if preview:
            return Created("", {**inputs, "made": UNKNOWN})
        if inputs.get("fail") == "half":
            raise InitializationFailedError("id-1", {**inputs, "made": True}, ["it never became ready", "no room"])
        if inputs.get("fail") == "whole":
            raise CloudError("refused", grpc.StatusCode.PERMISSION_DENIED)
        if inputs.get("fail") == "bug":
            raise ZeroDivisionError("oops")
        return Created("id-1", {key: getattr(value, "value", value) for key, value in inputs.items()})

    def read(self, resource: Resource, id: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> State | None:
        return None if id == "gone" else State(id, inputs, outputs)

    def update(
        self,
        resource: Resource,
        id: str,
        old_inputs: dict[str, Any],
        outputs: dict[str, Any],
        inputs: dict[str, Any],
        timeout: float,
        preview: bool,
        ignored: Sequence[str] = (),
    ) -> dict[str, Any]:
        return {**inputs, **({"ignored": list(ignored)} if ignored else {})}

    def delete(
        self, resource: Resource, id: str, inputs: dict[str, Any], outputs: dict[str, Any], timeout: float
    ) -> None:
        return None


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(Toy(FaultPlan.of(StateFolder(tmp_path), {}))) as running:
        yield running


def test_the_version_is_that_of_the_sdk(engine: Engine) -> None:
    assert engine.stub.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"
    schema = engine.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema
    assert '"version": "1.2.3"' in schema


def test_secrets_and_previews_are_negotiated(engine: Engine) -> None:
    configured = engine.stub.Configure(provider_pb2.ConfigureRequest())
    assert configured.acceptSecrets
    assert configured.supportsPreview
    shaken = engine.stub.Handshake(provider_pb2.ProviderHandshakeRequest())
    assert shaken.accept_secrets
    assert not shaken.accept_outputs


def test_a_check_names_every_refused_property(engine: Engine) -> None:
    with pytest.raises(RefusedError) as caught:
        engine.check(TOKEN, "a", {"one": "bad", "two": "fine", "nested": {"value": "bad"}})
    # The engine shows the value of a top-level property by itself, and would show <nil> for a nested one.
    assert str(caught.value) == "one: is bad (try: good)\n: nested.value = 'bad': is bad too"


def test_a_check_tells_new_from_old_and_knows_the_name(engine: Engine) -> None:
    assert engine.check(TOKEN, "a", {"x": 1}) == {"x": 1, "urnName": "a", "new": True}
    assert engine.check(TOKEN, "a", {"x": 1}, {"x": 0})["new"] is False


def test_unknown_and_secret_values_survive_a_preview(engine: Engine) -> None:
    inputs = {"network": UNKNOWN, "token": Secret("hunter2"), "both": Secret(UNKNOWN)}
    outputs = engine.preview(TOKEN, "a", inputs)
    assert {key: outputs[key] for key in inputs} == inputs
    assert outputs["made"] is UNKNOWN


def test_outputs_that_echo_a_secret_are_secret(engine: Engine) -> None:
    created = engine.create(TOKEN, "a", {"token": Secret("hunter2"), "plain": "x"})
    assert created.outputs["token"] == Secret("hunter2")
    assert created.outputs["plain"] == "x"


def test_a_resource_that_failed_half_way_is_kept_with_the_reasons(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        engine.create(TOKEN, "a", {"fail": "half", "token": Secret("hunter2")})
    kept = kept_resource(failed.value)
    assert kept.id == "id-1"
    assert list(kept.reasons) == ["it never became ready", "no room"]
    assert from_struct(kept.properties)["made"] is True
    assert from_struct(kept.properties)["token"] == Secret("hunter2")


def test_a_refusal_has_the_clouds_words_and_a_bug_says_where(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(TOKEN, "a", {"fail": "whole"})
    assert caught.value.details() == "refused"
    with pytest.raises(grpc.RpcError) as failed:
        engine.create(TOKEN, "a", {"fail": "bug"})
    assert "ZeroDivisionError: oops" in failed.value.details()
    assert engine.urn(TOKEN, "a") in failed.value.details()


def test_a_difference_says_what_replaces(engine: Engine) -> None:
    created = engine.create(TOKEN, "a", {"fixed": 1, "loose": {"x": 1}})
    difference = engine.diff(created, {**created.inputs, "fixed": 2, "loose": {"x": 2}, "more": 1})
    assert difference.changes == {"fixed": "UPDATE_REPLACE", "loose.x": "UPDATE", "more": "ADD"}
    assert difference.replaces == ["fixed"]


def test_a_resource_that_is_gone_reads_as_gone(engine: Engine) -> None:
    created = engine.create(TOKEN, "a", {})
    assert engine.read(created) is not None
    created.id = "gone"
    assert engine.read(created) is None


def test_faults_strike_before_and_after_but_never_in_a_preview(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(
        f"- {{type: '{TOKEN.replace('index:', '*')}', operation: create, fault: timeout}}"
    )
    engine.preview(TOKEN, "a", {})
    with pytest.raises(grpc.RpcError) as failed:
        engine.create(TOKEN, "a", {})
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert engine.create(TOKEN, "a", {}).id == "id-1"


def test_large_resources_pass(engine: Engine) -> None:
    text = "x" * (20 * 1024 * 1024)
    request = provider_pb2.CreateRequest(urn=engine.urn(TOKEN, "a"), properties=to_struct({"text": text}))
    answer = engine.stub.Create(request)
    assert len(from_struct(answer.properties)["text"]) == len(text)
