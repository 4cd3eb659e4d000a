import re

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.errors import ProblemsError
from llm_serving.serving import CompileCache
from llm_serving.spec import EngineSpec
from stacks.settings import parse_settings, resolve
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid
from tests.unit.serving.served import MODEL, RELEASE, arguments, container, serve
from tests.unit.stacks.settings_files import put, settings_data

WIDE = {"tensor_parallelism": 2, "engine": {"nodes": 2, "pipeline_parallelism": 2}}
JOINED = {"LD_LIBRARY_PATH", "LIBRARY_PATH"}
"""Lists of folders: the user's stand behind ours."""
CPU = {"accelerator": "CPU", "gpus": 1, "cpu": 30.0, "memory_gib": 100.0, "cloud": "existing"}


def environment(engine_container):
    return {variable["name"]: variable["value"] for variable in engine_container["env"]}


def engines(recording):
    """Every engine's container, of leaders and workers too."""
    if not recording.all("LeaderWorkerSet"):
        return [container(recording)]
    group = recording.one("LeaderWorkerSet")["spec.leaderWorkerTemplate"]
    return [group[role]["spec"]["containers"][0] for role in ("leaderTemplate", "workerTemplate")]


def refusals(make):
    with pytest.raises(InputPropertiesError) as caught:
        make()
    return {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}


@pytest.mark.parametrize("model", [{}, WIDE])
def test_variables_reach_every_container_of_the_engine(model):
    options = {**model.get("engine", {}), "environment": {"NCCL_P2P_DISABLE": 1, "VLLM_LOGGING_LEVEL": "DEBUG"}}
    recording = serve(model={**model, "engine": options})
    if not recording.all("LeaderWorkerSet"):
        assert_valid(recording)
    plain = engines(serve(model=model))
    for with_variables, without in zip(engines(recording), plain, strict=True):
        added = {"NCCL_P2P_DISABLE": "1", "VLLM_LOGGING_LEVEL": "DEBUG"}
        assert environment(with_variables) == {**environment(without), **added}


@pytest.mark.parametrize(
    ("release", "model", "node"),
    [
        ({}, {}, {}),
        ({}, {"compile_cache": True}, {}),
        ({}, WIDE, {}),
        ({}, {}, CPU),
        ({"engine": {"name": "sglang", "version": "0.5.23"}}, {}, {}),
        ({"engine": {"name": "tgi", "version": "3.3.5"}}, {}, {}),
        ({"engine": {"name": "triton", "version": "25.10.0"}}, {}, {}),
    ],
)
def test_every_variable_that_is_set_already_is_refused_by_name(release, model, node):
    scheduling = {"accelerator": node.get("accelerator", "H100-80GB")}
    recording = serve(release=release, model=model, node=node, scheduling=scheduling)
    words = [word for engine_container in engines(recording) for word in engine_container["command"]]
    referred = {name for word in words for name in re.findall(r"\$\((\w+)\)", word)}
    own = {name for engine_container in engines(recording) for name in environment(engine_container)} | referred
    own -= JOINED
    assert {"HOME", "HF_HUB_OFFLINE"} <= own
    options = {**model.get("engine", {}), "environment": dict.fromkeys(own, "mine")}
    reasons = refusals(
        lambda: serve(release=release, model={**model, "engine": options}, node=node, scheduling=scheduling)
    )
    assert set(reasons) == {f"model.engine.environment.{name}" for name in own}
    assert "is set to '/tmp' already" in reasons["model.engine.environment.HOME"]


def test_the_job_that_compiles_gets_the_same_variables_and_the_same_refusals():
    def compile_with(**variables):
        image = {**RELEASE["image"], "launcher": True}
        inputs = arguments(labels=None)
        inputs = {key: inputs[key] for key in ("node", "namespace", "scheduling", "cache", "identity")}
        inputs["cache"] = {**inputs["cache"], "loaderVolume": {"emptyDir": {}}}
        model = {**MODEL, "engine": {"environment": variables}}
        return record(lambda: CompileCache("c", {**inputs, "model": model, "release": {**RELEASE, "image": image}}))

    job = compile_with(NCCL_DEBUG="INFO").one("kubernetes:batch/v1:Job")
    assert environment(job["spec.template.spec.containers[0]"])["NCCL_DEBUG"] == "INFO"
    assert "model.engine.environment.HOME" in refusals(lambda: compile_with(HOME="/root"))


def test_whole_numbers_are_written_as_decimals_and_what_is_not_clear_is_refused_with_the_way_to_write_it():
    assert EngineSpec(environment={"A": 1, "B": 2.0, "C": "x"}).environment == {"A": "1", "B": "2", "C": "x"}  # type: ignore[dict-item]
    data = settings_data()
    put(data, "models[0].engine", {"environment": {"A": True, "B": 0.5, "C": None, "2D": "x"}})
    with pytest.raises(ProblemsError) as caught:
        parse_settings(data, "Pulumi.dev.yaml")
    lines = str(caught.value).splitlines()
    path = "Pulumi.dev.yaml: llm-serving:models[0].engine.environment"
    assert [line.split(":", 3)[2].split(" ")[0] for line in lines] == [
        f"models[0].engine.environment.{name}" for name in ("A", "B", "C", "2D")
    ]
    assert lines[0].startswith(f"{path}.A = True: is a boolean")
    assert lines[0].endswith('(try: "1" or "true", in quotes)')


def test_a_check_of_the_settings_refuses_what_the_component_would():
    data = settings_data()
    put(data, "models[0].engine", {"environment": {"HF_HUB_OFFLINE": "0", "NCCL_DEBUG": "INFO"}})
    with pytest.raises(ProblemsError) as caught:
        resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")
    (problem,) = caught.value.problems
    assert problem.path == "llm-serving:models[0].engine.environment.HF_HUB_OFFLINE"


@pytest.mark.parametrize("model", [{}, WIDE])
def test_gkes_driver_is_found_whatever_base_an_image_has(model):
    for engine_container in engines(serve(model=model)):
        variables = environment(engine_container)
        for name in ("LD_LIBRARY_PATH", "LIBRARY_PATH"):
            assert variables[name].split(":")[0] == "/usr/local/nvidia/lib64"
    with_own = {"engine": {"environment": {"LD_LIBRARY_PATH": "/opt/own"}}}
    assert environment(container(serve(model=with_own)))["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64:/opt/own"


def test_elsewhere_the_container_runtime_says_where_the_driver_is():
    assert not {"LD_LIBRARY_PATH", "LIBRARY_PATH"} & set(environment(container(serve(node={"cloud": "existing"}))))
