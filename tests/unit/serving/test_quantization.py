"""Weights are quantized by a Job on a pool's node, from verified ones, into a folder that nothing else writes."""

from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.serving import ModelLoader, QuantizationJob
from tests.unit.recording import Recording, record
from tests.unit.serving.manifests import assert_valid, breaks_restricted
from tests.unit.serving.served import CACHE, NODE, RELEASE, SCHEDULING

LOADER: dict[str, Any] = {"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}}
WRITER: dict[str, Any] = {"serviceAccount": "loader", "namespace": "chat", "podLabels": {"cloud.example/identity": "w"}}
BUCKET: dict[str, Any] = {**CACHE, "loaderUrl": "gs://weights"}
CLAIM: dict[str, Any] = {
    "volume": {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
    "loaderVolume": {"persistentVolumeClaim": {"claimName": "weights"}},
}
QUANTIZATION: dict[str, Any] = {
    "name": "qwen3-8b-w4",
    "team": "chat",
    "pool": "h100",
    "base": {"model": "qwen3-8b", "release": "1.0.0"},
    "scheme": "W4A16",
    "calibration": {"path": "calibration/chat", "samples": 256},
    "image": {"repository": "registry.example/quantizer", "tag": "0.1.0"},
}


def make(quantization: dict[str, Any] | None = None, **changes: Any) -> Recording:
    arguments = {
        "quantization": {**QUANTIZATION, **(quantization or {})},
        "base": RELEASE,
        "loader": LOADER,
        "node": NODE,
        "namespace": "chat",
        "scheduling": SCHEDULING,
        "cache": BUCKET,
        "identity": WRITER,
        "labels": {"environment": "test"},
        **changes,
    }
    return record(lambda: QuantizationJob("qwen3-8b-w4", arguments))  # type: ignore[arg-type]


def spec(recording: Recording) -> dict[str, Any]:
    return recording.one("kubernetes:batch/v1:Job")["spec.template"]["spec"]


def steps(recording: Recording) -> list[dict[str, Any]]:
    """The containers in the order in which they run."""
    pod = spec(recording)
    return [*pod["initContainers"], *pod["containers"]]


def option(container: dict[str, Any], name: str) -> str:
    (value,) = [word.partition("=")[2] for word in container["command"] if word.startswith(f"--{name}=")]
    return value


@pytest.mark.parametrize("cache", [BUCKET, CLAIM], ids=["bucket", "claim"])
def test_every_object_is_valid_for_kubernetes_and_the_pod_obeys_pod_security_restricted(cache: dict[str, Any]) -> None:
    recording = make(cache=cache)
    assert_valid(recording)
    assert breaks_restricted(spec(recording)) == []
    for container in steps(recording):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_base_is_verified_then_quantized_then_taken_into_the_cache_by_the_loader() -> None:
    verify, quantize, publish = steps(make())
    assert verify["command"] == [
        "llm-serving-load",
        "verify",
        "--target=/models/qwen3-8b/1.0.0",
        "--repository=Qwen/Qwen3-8B",
        f"--revision={'b' * 40}",
    ]
    assert quantize["image"] == "registry.example/quantizer:0.1.0"
    assert quantize["command"][0] == "llm-serving-quantize"
    assert option(quantize, "base") == "/models/qwen3-8b/1.0.0"
    assert option(quantize, "scheme") == "W4A16"
    assert option(quantize, "calibration") == "/models/calibration/chat"
    assert (option(quantize, "samples"), option(quantize, "sequence-length")) == ("256", "2048")
    revision = option(publish, "revision")
    folder = f"quantized/qwen3-8b-w4/{revision}"
    assert option(quantize, "result") == f"/result/{folder}"
    assert option(publish, "source") == "file:///result"
    assert option(publish, "repository") == "quantized/qwen3-8b-w4"
    assert option(publish, "target") == f"gs://weights/{folder}"
    assert publish["image"] == "registry.example/model-loader:1.0.0"


def test_a_result_that_is_there_is_looked_for_where_it_is_written() -> None:
    _, quantize, publish = steps(make())
    assert option(quantize, "unless") == f"/models/quantized/qwen3-8b-w4/{option(publish, 'revision')}"


def test_a_claim_is_mounted_to_be_written_by_the_loader_alone() -> None:
    verify, quantize, publish = steps(make(cache=CLAIM))
    assert option(publish, "target").startswith("/cache/quantized/")
    assert {"name": "cache", "mountPath": "/cache"} in publish["volumeMounts"]
    for container in (verify, quantize):
        assert "cache" not in [mount["name"] for mount in container["volumeMounts"]]
        assert {"name": "models", "mountPath": "/models", "readOnly": True} in container["volumeMounts"]


def test_the_gpu_is_the_quantizers_and_the_pod_runs_on_the_pools_nodes() -> None:
    recording = make()
    verify, quantize, publish = steps(recording)
    assert quantize["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for container in (verify, publish):
        assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert spec(recording)["nodeSelector"] == SCHEDULING["nodeSelector"]
    assert spec(recording)["serviceAccountName"] == "loader"
    assert spec(recording)["priorityClassName"] == "llm-serving-batch"


def test_the_driver_is_found_where_the_cloud_mounts_it() -> None:
    variables = {each["name"]: each["value"] for each in steps(make())[1]["env"]}
    assert variables["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib64"
    elsewhere = {each["name"] for each in steps(make(node={**NODE, "cloud": "existing"}))[1]["env"]}
    assert elsewhere == {"HOME"}


def test_what_cannot_be_helped_is_not_tried_again() -> None:
    (rule, ignored) = make().one("kubernetes:batch/v1:Job")["spec.podFailurePolicy.rules"]
    assert rule["action"] == "FailJob"
    assert set(rule["onExitCodes"]["values"]) == {2, 78}
    assert "containerName" not in rule["onExitCodes"]
    assert ignored["action"] == "Ignore"


@pytest.mark.parametrize(
    "changes",
    [
        {"base": {**RELEASE, "model": {**RELEASE["model"], "revision": "c" * 40}}},
        {"quantization": {"scheme": "W8A8"}},
        {"quantization": {"calibration": {"path": "calibration/other", "samples": 256}}},
        {"quantization": {"calibration": {"path": "calibration/chat"}}},
        {"quantization": {"image": {"repository": "registry.example/quantizer", "tag": "0.2.0"}}},
    ],
    ids=["weights", "scheme", "text", "samples", "image"],
)
def test_another_recipe_is_another_folder(changes: dict[str, Any]) -> None:
    assert option(steps(make(**changes))[2], "revision") != option(steps(make())[2], "revision")


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"environment": "other"}},
        {"loader": {**LOADER, "image": {**LOADER["image"], "tag": "2.0.0"}}},
        {"quantization": {"timeout_seconds": 7200}},
    ],
    ids=["labels", "loader", "timeout"],
)
def test_what_does_not_change_the_result_does_not_change_its_folder(changes: dict[str, Any]) -> None:
    assert option(steps(make(**changes))[2], "revision") == option(steps(make())[2], "revision")


def test_a_digest_decides_wherever_the_image_is() -> None:
    digest = "sha256:" + "d" * 64
    images = [{"repository": f"{host}/quantizer", "tag": "0.1.0", "digest": digest} for host in ("a.example", "b.test")]
    one, other = (option(steps(make({"image": image}))[2], "revision") for image in images)
    assert one == other


def test_another_base_than_the_one_that_is_named_is_refused() -> None:
    with pytest.raises(InputPropertiesError) as refused:
        make({"base": {"model": "qwen3-8b", "release": "1.1.0"}})
    assert [error["property_path"] for error in refused.value.errors] == ["quantization.base.release"]


def test_a_node_without_memory_for_the_weights_is_refused() -> None:
    with pytest.raises(InputPropertiesError) as refused:
        make(node={**NODE, "gpus": 1, "memory_gib": 20.0})
    (error,) = refused.value.errors
    assert error["property_path"] == "quantization.pool"
    assert "GiB of memory, and a node of the pool has" in error["reason"]


def test_memory_of_the_caches_driver_is_not_the_jobs() -> None:
    def memory_gib(cache: dict[str, Any]) -> float:
        memory = steps(make(cache=cache))[1]["resources"]["limits"]["memory"]
        return float(memory[:-2]) / {"Gi": 1, "Mi": 1024}[memory[-2:]]

    beside, alone = memory_gib(BUCKET), memory_gib({**BUCKET, "sidecarMemoryGib": 0})
    assert alone - beside == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(("cache", "source"), [(BUCKET, "gs://weights"), (CLAIM, "file:///cache")])
def test_a_release_of_a_result_is_loaded_from_the_cache_itself(cache: dict[str, Any], source: str) -> None:
    model = {**RELEASE["model"], "source": "cache", "repository": "quantized/qwen3-8b-w4"}
    arguments: Any = {
        "release": {**RELEASE, "version": "2.0.0", "model": model},
        "team": "chat",
        "loader": LOADER,
        "namespace": "chat",
        "cache": cache,
        "scheduling": SCHEDULING,
    }
    recording = record(lambda: ModelLoader("qwen3-8b", arguments))
    assert_valid(recording)
    (container,) = spec(recording)["containers"]
    assert option(container, "source") == source
    assert option(container, "repository") == "quantized/qwen3-8b-w4"
    assert option(container, "target").endswith("/qwen3-8b/2.0.0")
