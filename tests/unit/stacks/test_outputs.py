"""What a stack puts out is read as what it is, whichever program wrote it."""

import pytest

from llm_serving.errors import ProblemsError
from llm_serving.planning.cost import estimate
from llm_serving.planning.replicas import Role
from stacks.outputs import ReleaseOutputs, StackOutputs, output_key, read_outputs
from stacks.settings import read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY

MODEL = {
    "url": "http://m.chat.svc:8000/v1",
    "release": "1.1.0",
    "releaseUrls": {"1.1.0": "http://m-1-1-0.chat.svc:8000/v1"},
    "deployment": "m-1-1-0",
}
RELEASES = {
    "stable": {"version": "1.1.0", "sha256": "a" * 64},
    "canary": {"version": "1.2.0", "sha256": "b" * 64, "weight": 10},
}


def test_outputs_keep_their_keys_and_values() -> None:
    prod = resolve(read_settings_file(REPOSITORY / "Pulumi.prod.yaml"), "prod")
    cost = estimate(prod.cloud, prod.settings.region, prod.settings.pools).model_dump(mode="json", by_alias=True)
    data = {
        "fixed": prod.settings.fixed,
        "network": {"name": "llm", "subnet": "llm-nodes"},
        "cluster": {"name": "llm", "location": "us-east4", "endpoint": "gke-1.us-east4.gke.goog"},
        "kubeconfig": "apiVersion: v1",
        "pools": {"h100": ["h100-spot-1", "h100-on-demand-1"]},
        "modelCache": "gs://weights",
        "registry": "us-east4-docker.pkg.dev/p/llm",
        "models": {"m": MODEL},
        "releases": {"m": RELEASES},
        "cost": cost,
    }
    outputs = read_outputs(data)
    assert outputs.to_data() == data
    assert outputs.releases["m"][Role.CANARY] == ReleaseOutputs(version="1.2.0", sha256="b" * 64, weight=10)
    # Prices that are not known stay where they are, as nothing.
    assert any(line["usdPerHour"] is None for line in cost["lines"])


def test_a_stack_without_an_update_has_no_outputs() -> None:
    assert read_outputs({}) == StackOutputs()


def test_a_stack_that_buys_no_nodes_has_an_empty_cost() -> None:
    assert read_outputs({"cost": {}}).cost is None
    assert StackOutputs().to_data()["cost"] == {}


def test_outputs_of_a_newer_program_can_be_read() -> None:
    data = {"queue": {"url": "https://llm.example.com"}, "models": {"m": {**MODEL, "gatewayUrl": "https://m"}}}
    assert read_outputs(data).models["m"].release == "1.1.0"


def test_an_output_that_is_something_else_is_refused_with_its_path() -> None:
    with pytest.raises(ProblemsError, match=r"prod\.json: models\.m\.releaseUrls"):
        read_outputs({"models": {"m": {**MODEL, "releaseUrls": None}}}, "prod.json")


def test_keys_are_spelt_as_in_other_languages() -> None:
    assert output_key("model_cache") == "modelCache"
    with pytest.raises(KeyError):
        output_key("models_cache")
