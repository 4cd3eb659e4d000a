"""A release is compiled once, by a Job that may write, and nobody who serves may."""

from pathlib import Path
from typing import Any

import pytest
from llm_serving_engine.compile_cache import cache_root
from llm_serving_engine.options import parse
from pulumi.errors import InputPropertiesError

from llm_serving.launchers import COMMAND
from llm_serving.planning.nodes import NodeShape
from llm_serving.serving import compile_cache
from llm_serving.serving.compile_cache import CompileCache
from llm_serving.serving.environment import compile_variables
from llm_serving.serving.labels import selector
from llm_serving.spec import ModelSpec, ReleaseSpec
from tests.unit.recording import Recording, record
from tests.unit.serving.manifests import assert_valid, breaks_restricted
from tests.unit.serving.served import CACHE, IDENTITY, MODEL, NODE, RELEASE, SCHEDULING, serve

IMAGE: dict[str, Any] = {"repository": "docker.io/vllm/vllm-openai", "tag": "v0.32.0"}
WRITER: dict[str, Any] = {"serviceAccount": "loader", "namespace": "chat", "podLabels": {"cloud.example/identity": "w"}}
WRITABLE: dict[str, Any] = {**CACHE, "loaderVolume": {"persistentVolumeClaim": {"claimName": "weights"}}}
FOLDER = ".compile/qwen3-8b/1.0.0/H100-80GB-0.32.0"


def make(**changes: Any) -> Recording:
    arguments = {
        "model": {**MODEL, "compile_cache": True},
        "release": {**RELEASE, "image": IMAGE},
        "node": NODE,
        "namespace": "chat",
        "scheduling": SCHEDULING,
        "cache": WRITABLE,
        "identity": WRITER,
        "labels": {"environment": "test"},
        **changes,
    }
    return record(lambda: CompileCache("qwen3-8b", arguments))  # type: ignore[arg-type]


def template(recording: Recording) -> dict[str, Any]:
    return recording.one("kubernetes:batch/v1:Job")["spec.template"]


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return only


def instance() -> dict[str, Any]:
    """The pod of an instance of the same release."""
    return serve(release={"image": IMAGE}).one("kubernetes:apps/v1:Deployment")["spec.template"]


def test_every_object_is_valid_for_kubernetes_and_the_pod_obeys_pod_security_restricted() -> None:
    recording = make()
    assert_valid(recording)
    assert breaks_restricted(template(recording)["spec"]) == []
    assert container(template(recording))["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_launcher_saves_the_cache_under_release_and_gpu_and_ends() -> None:
    command = container(template(make()))["command"]
    assert tuple(command[: len(COMMAND)]) == COMMAND
    options = parse(command[len(COMMAND) :], {})
    assert options.exit_when_ready
    assert str(options.save_compile_cache) == f"{compile_cache.CACHE}/{FOLDER}"
    assert options.command[0] == "vllm"


def test_the_engine_starts_as_an_instance_does_so_that_its_cache_fits() -> None:
    job, served = container(template(make())), container(instance())
    assert job["command"][job["command"].index("--") :] == served["command"][served["command"].index("--") :]
    for field in ("image", "resources"):
        assert job[field] == served[field]
    variables = {variable["name"]: variable["value"] for variable in served["env"]} | compile_variables()
    assert {variable["name"]: variable["value"] for variable in job["env"]} == variables
    (weights,) = [mount for mount in job["volumeMounts"] if mount["name"] == "models"]
    assert weights in served["volumeMounts"]


def test_all_that_is_compiled_goes_to_the_folder_that_the_launcher_saves() -> None:
    variables = compile_variables()
    root = cache_root(variables)
    assert all(Path(value).is_relative_to(root) for value in variables.values())
    writable = [
        mount["mountPath"] for mount in container(template(make()))["volumeMounts"] if not mount.get("readOnly")
    ]
    assert any(root.is_relative_to(path) for path in writable)


def test_an_instance_finds_what_the_job_saved() -> None:
    (option,) = compile_cache.read_options(f"/models/{FOLDER}")
    assert str(parse([option, "--", "vllm"], {}).compile_cache) == f"/models/{FOLDER}"


def test_only_the_job_can_write_and_only_beside_what_engines_read() -> None:
    job = template(make())
    assert job["spec"]["serviceAccountName"] == "loader"
    assert job["metadata"]["labels"]["cloud.example/identity"] == "w"
    assert {"name": "cache", **WRITABLE["loaderVolume"]} in job["spec"]["volumes"]
    assert {"name": "cache", "mountPath": compile_cache.CACHE} in container(job)["volumeMounts"]
    assert [mount.get("readOnly") for mount in container(job)["volumeMounts"] if mount["name"] == "models"] == [True]
    served = instance()
    assert served["spec"]["serviceAccountName"] == IDENTITY["serviceAccount"]
    assert "cache" not in {volume["name"] for volume in served["spec"]["volumes"]}


def test_no_service_sends_requests_to_the_job() -> None:
    labels = template(make())["metadata"]["labels"]
    wanted = selector(ModelSpec.model_validate(MODEL), "1.0.0")
    assert not wanted.items() <= labels.items()
    assert wanted.items() <= instance()["metadata"]["labels"].items()


def test_the_job_compiles_on_a_node_of_the_pool() -> None:
    spec = template(make())["spec"]
    assert spec["nodeSelector"] == SCHEDULING["nodeSelector"]
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["nvidia.com/gpu", "llm-serving.dev/market"]
    assert container(template(make()))["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_pod_whose_node_went_away_has_not_failed_and_a_wrong_command_fails_at_once() -> None:
    job = make().one("kubernetes:batch/v1:Job")
    fail, ignore = job["spec.podFailurePolicy.rules"]
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [2])
    assert fail["onExitCodes"]["containerName"] == container(job["spec.template"])["name"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert job["spec.template"]["spec"]["restartPolicy"] == "Never"


def test_the_job_has_as_long_as_an_instance_that_compiles() -> None:
    served = serve(release={"image": IMAGE}).one("kubernetes:apps/v1:Deployment")
    assert make().one("kubernetes:batch/v1:Job")["spec.activeDeadlineSeconds"] == served["spec.progressDeadlineSeconds"]


def test_nothing_asks_the_job_and_nothing_waits_before_it_ends() -> None:
    compiler = container(template(make()))
    assert not {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} & compiler.keys()


def test_a_job_that_failed_is_replaced_and_another_command_is_another_job() -> None:
    job = make().one("kubernetes:batch/v1:Job")
    assert job["metadata.annotations"] == {"pulumi.com/replaceUnready": "true"}
    assert "name" not in job["metadata"]


def test_the_folder_tells_release_engine_and_gpu_apart() -> None:
    release = ReleaseSpec.model_validate(RELEASE)
    newer = release.model_copy(update={"engine": release.engine.model_copy(update={"version": "0.33.0"})})
    other = release.model_copy(update={"version": "1.1.0"})
    whole = NodeShape.model_validate(NODE)
    nodes = [
        whole.model_copy(update=gpu)
        for gpu in (
            {"accelerator": "L4"},
            {"accelerator": "H100-80GB"},
            {"accelerator": "H100-80GB", "partition": "1g.10gb"},
        )
    ]
    folders = [compile_cache.folder_of(r, gpu) for r in (release, newer, other) for gpu in nodes]
    assert len(set(folders)) == 9
    assert make().output("folder") == FOLDER


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"cache": CACHE}, "cache.loaderVolume"),
        ({"model": {**MODEL, "engine": {"launcher": False}}}, "model.engine.launcher"),
        ({"release": {**RELEASE, "image": IMAGE, "version": "2.0.0"}}, "release.version"),
        ({"release": {**RELEASE, "image": IMAGE, "name": "other"}}, "release.name"),
        ({"model": {**MODEL, "engine": {"nodes": 2}}}, "model.engine.nodes"),
        ({"node": {"accelerator": "CPU", "gpus": 1, "cpu": 64.0, "memory_gib": 512.0}}, "node.accelerator"),
        ({"model": {**MODEL, "tensor_parallelism": 16}}, "model.tensorParallelism"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_compiled_is_refused(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        make(**changes)
    assert [detail["property_path"] for detail in caught.value.errors or []] == [path]


def test_another_label_of_the_user_does_not_compile_again() -> None:
    """Kubernetes lets nobody change the template of a Job: it would be another one."""
    first, second = (
        make(labels={"owner": owner}).one("kubernetes:batch/v1:Job").inputs for owner in ("ml-platform", "search")
    )
    assert first["metadata"]["labels"] != second["metadata"]["labels"]
    assert first["spec"] == second["spec"]
