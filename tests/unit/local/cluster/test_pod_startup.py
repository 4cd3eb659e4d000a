"""What keeps the containers of a pod on a simulated node from starting, on the objects that a real stack makes."""

from typing import Any

import pytest

from llm_serving.contract import LABEL_MODEL, LABEL_RELEASE
from local.cluster.bucket_weights import BucketWeights
from local.cluster.pod_startup import Obstacle, blocked_status, find_obstacle, loaded_weights, wanted_weights
from local.providers.kubernetes.diagnosis import why
from tests.unit.infra.test_program import LOADER, run
from tests.unit.stacks.settings_files import settings_data

COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True"}]}


@pytest.fixture(scope="module")
def loaded_stack() -> Any:
    """Stack dev with a loader: its Job and a pod of its model."""
    return _objects({"loader": LOADER})


@pytest.fixture(scope="module")
def external_pod() -> dict[str, Any]:
    settings = settings_data("dev") | {"weights": "external"}
    del settings["loader"]
    return _pod(run(settings).recording.one("kubernetes:apps/v1:Deployment").inputs)


def _objects(changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    made = run({**settings_data("dev"), **changes}).recording
    return made.one("kubernetes:batch/v1:Job").inputs, _pod(made.one("kubernetes:apps/v1:Deployment").inputs)


def _pod(workload: dict[str, Any]) -> dict[str, Any]:
    template = workload["spec"]["template"]
    metadata = {"name": "qwen3", "namespace": "chat", "uid": "1", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": {}}


def _objects_of_the_stack(kind: str, name: str) -> dict[str, Any]:
    """Every Secret and ConfigMap is there, as the stack has made them."""
    return {"data": {}}


def _put_loaded(job: dict[str, Any], weights: BucketWeights) -> None:
    for each in loaded_weights(job):
        weights.put(each.bucket, each.prefix, each.revision or "")


def test_a_pod_waits_for_the_weights_that_its_stacks_loader_brings(loaded_stack: Any, tmp_path: Any) -> None:
    job, pod = loaded_stack
    weights = BucketWeights(tmp_path)
    assert "no weights in gs://" in _obstacle(pod, weights).message
    for status in ({}, FAILED):
        _put_loaded({**job, "status": status}, weights)
    assert _obstacle(pod, weights).reason == "CrashLoopBackOff"
    _put_loaded({**job, "status": COMPLETE}, weights)
    assert find_obstacle(pod, _objects_of_the_stack, weights.find) is None


def test_another_revision_or_another_bucket_does_not_do(loaded_stack: Any, tmp_path: Any) -> None:
    _, pod = loaded_stack
    wanted = next(each for each in wanted_weights(pod, _objects_of_the_stack) if each.revision)
    weights = BucketWeights(tmp_path)
    weights.put("another", wanted.prefix, wanted.revision or "")
    assert "no weights" in _obstacle(pod, weights).message
    weights.put(wanted.bucket, wanted.prefix, "0" * 40)
    assert _obstacle(pod, weights).message.endswith(f"holds revision {'0' * 40}, not {wanted.revision}")


def test_weights_in_a_bucket_that_a_claim_stands_for_are_waited_for_too(tmp_path: Any) -> None:
    claim = {"spec": {"volumeName": "models"}}
    csi = {"driver": "s3.csi.aws.com", "volumeAttributes": {"bucketName": "models-1"}}
    there = {("PersistentVolumeClaim", "cache"): claim, ("PersistentVolume", "models"): {"spec": {"csi": csi}}}
    pod = _plain_pod(volumes=[{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}])
    pod["metadata"]["labels"] = {
        "app.kubernetes.io/component": "engine",
        LABEL_MODEL: "qwen3",
        LABEL_RELEASE: "1.0.0",
    }
    container = {"name": "engine", "volumeMounts": [{"name": "cache", "mountPath": "/models"}]}
    pod["spec"]["containers"] = [container]
    weights = BucketWeights(tmp_path)
    find = lambda kind, name: there.get((kind, name))  # noqa: E731
    obstacle = find_obstacle(pod, find, weights.find)
    assert obstacle is not None
    assert "no weights in s3://models-1/qwen3/1.0.0" in obstacle.message
    arguments = ["--target=s3://models-1/qwen3/1.0.0", "--revision=abc"]
    template = {"spec": {"containers": [{"name": "load", "args": arguments}]}}
    labels = {"app.kubernetes.io/component": "loader"}
    _put_loaded({"metadata": {"labels": labels}, "spec": {"template": template}, "status": COMPLETE}, weights)
    assert find_obstacle(pod, find, weights.find) is None


def test_weights_that_somebody_else_brings_are_waited_for_too(external_pod: dict[str, Any], tmp_path: Any) -> None:
    weights = BucketWeights(tmp_path)
    (wanted,) = wanted_weights(external_pod, _objects_of_the_stack)
    assert wanted.prefix == "qwen3-0-6b/1.0.0"
    assert _obstacle(external_pod, weights).container == "engine"
    weights.put(wanted.bucket, wanted.prefix, "0" * 40)
    assert find_obstacle(external_pod, _objects_of_the_stack, weights.find) is None


def test_a_bucket_that_goes_takes_its_weights_along(tmp_path: Any) -> None:
    weights = BucketWeights(tmp_path)
    assert weights.put("b", "m/1.0.0", "abc")
    assert not weights.put("b", "m/1.0.0", "abc")
    weights.forget("b")
    assert weights.find("b", "m/1.0.0") is None
    assert list(tmp_path.iterdir()) == []


# (what the pod refers to, what is said, whose status says it)
REFERENCES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"volumes": [{"name": "t", "secret": {"secretName": "absent"}}]},
        'FailedMount: MountVolume.SetUp failed for volume "t" : secret "absent" not found',
        "",
    ),
    (
        {"volumes": [{"name": "t", "projected": {"sources": [{"configMap": {"name": "absent"}}]}}]},
        'FailedMount: MountVolume.SetUp failed for volume "t" : configmap "absent" not found',
        "",
    ),
    (
        {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "token"}}}]},
        'CreateContainerConfigError: secret "absent" not found',
        "c",
    ),
    (
        {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "present", "key": "token"}}}]},
        "CreateContainerConfigError: couldn't find key token in Secret chat/present",
        "c",
    ),
    (
        {"envFrom": [{"configMapRef": {"name": "absent"}}]},
        'CreateContainerConfigError: configmap "absent" not found',
        "c",
    ),
]


@pytest.mark.parametrize(("parts", "words", "container"), REFERENCES)
def test_what_is_missing_is_told_as_the_kubelet_tells_it(parts: dict[str, Any], words: str, container: str) -> None:
    pod = _plain_pod(**parts)
    obstacle = find_obstacle(pod, _present, None)
    assert obstacle is not None
    assert (f"{obstacle.reason}: {obstacle.message}", obstacle.container) == (words, container)


def test_what_is_optional_or_there_keeps_no_pod() -> None:
    optional = {"secretKeyRef": {"name": "absent", "key": "k", "optional": True}}
    there = {"secretKeyRef": {"name": "present", "key": "there"}}
    env = [{"name": "A", "valueFrom": optional}, {"name": "B", "valueFrom": there}, {"name": "C", "value": "plain"}]
    volumes = [
        {"name": "a", "configMap": {"name": "absent", "optional": True}},
        {"name": "b", "secret": {"secretName": "present"}},
        {"name": "c", "emptyDir": {}},
    ]
    assert find_obstacle(_plain_pod(env=env, volumes=volumes), _present, None) is None


def test_the_diagnosis_of_a_blocked_pod_says_what_is_missing(loaded_stack: Any, tmp_path: Any) -> None:
    _, pod = loaded_stack
    obstacle = _obstacle(pod, BucketWeights(tmp_path))
    blocked = {**pod, "status": {"phase": "Pending", **blocked_status(pod, obstacle)}}
    reason = why(blocked, [])
    assert reason.text.startswith("container verify-weights: CrashLoopBackOff")
    assert obstacle.message in reason.text


def _obstacle(pod: dict[str, Any], weights: BucketWeights) -> Obstacle:
    obstacle = find_obstacle(pod, _objects_of_the_stack, weights.find)
    assert obstacle is not None
    return obstacle


def _present(kind: str, name: str) -> dict[str, Any] | None:
    return {"data": {"there": "eA=="}} if name == "present" else None


def _plain_pod(*, volumes: Any = None, **container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "x", **container}], "volumes": volumes}
    return {"metadata": {"name": "p", "namespace": "chat"}, "spec": spec, "status": {}}
