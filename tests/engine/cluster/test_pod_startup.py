"""A pod on a simulated node starts once what it needs is there, and until then says what is missing."""

from local.cluster.bucket_weights import BucketWeights
from tests.engine.cluster.helpers import eventually, gpu_pod

WAITS = {"app.kubernetes.io/component": "engine", "llm-serving.dev/model": "m", "llm-serving.dev/release": "1.0.0"}
REVISION = "0123456789abcdef0123456789abcdef01234567"


def running(api, namespace, name):
    return api.get("v1", "Pod", name, namespace)["status"]["phase"] == "Running"


def loader(namespace, bucket, node_selector=None):
    target = f"--target=gs://{bucket}/m/1.0.0"
    container = {"name": "loader", "image": "x", "command": ["llm-serving-load", f"--revision={REVISION}", target]}
    pod = {"restartPolicy": "Never", "containers": [container], "nodeSelector": node_selector or {}}
    metadata = {"name": "load", "namespace": namespace, "labels": {"app.kubernetes.io/component": "loader"}}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def engine(namespace, bucket, pool):
    """A pod of a model that mounts a bucket, as GKE's model cache has it."""
    pod = gpu_pod(namespace, "engine", pool)
    pod["metadata"]["labels"] = WAITS
    (container,) = pod["spec"]["containers"]
    container |= {"name": "engine", "volumeMounts": [{"name": "models", "mountPath": "/models"}]}
    attributes = {"bucketName": bucket}
    driver = {"driver": "gcsfuse.csi.storage.gke.io", "readOnly": True, "volumeAttributes": attributes}
    pod["spec"]["volumes"] = [{"name": "models", "csi": driver}]
    return pod


def waiting(api, namespace, name):
    """Why the pod's container waits, as its status says it."""
    for status in api.get("v1", "Pod", name, namespace)["status"].get("containerStatuses") or []:
        if reason := (status["state"].get("waiting") or {}).get("reason"):
            return f"{reason}: {status['state']['waiting'].get('message')}"
    return ""


def test_a_pod_whose_secret_is_missing_is_not_ready_until_it_is_there(api, pool, namespace):
    pool("secrets", gpus=1, min=1, max=2)
    mounting = gpu_pod(namespace, "mounting", "secrets")
    mounting["spec"]["volumes"] = [{"name": "token", "secret": {"secretName": "hub"}}]
    reading = gpu_pod(namespace, "reading", "secrets")
    variable = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    reading["spec"]["containers"][0]["env"] = [variable]
    for pod in (mounting, reading):
        api.create(pod)
    told = eventually(lambda: [e for e in api.list("v1", "Event", namespace) if e["reason"] == "FailedMount"])
    assert told[0]["message"] == 'MountVolume.SetUp failed for volume "token" : secret "hub" not found'
    expected = 'CreateContainerConfigError: secret "hub" not found'
    assert eventually(lambda: waiting(api, namespace, "reading")) == expected
    metadata = {"name": "hub", "namespace": namespace}
    api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "hf_x"}})
    eventually(lambda: running(api, namespace, "mounting") and running(api, namespace, "reading"))


def test_a_model_starts_once_a_loader_has_finished(api, pool, namespace):
    pool("models", gpus=1, min=1, max=1)
    pool("loaders", gpus=0, min=1, max=1)
    bucket = f"bucket-{namespace}"
    api.create(engine(namespace, bucket, "models"))
    assert "no weights in gs://" in eventually(lambda: waiting(api, namespace, "engine"))
    api.create(loader(namespace, bucket))
    eventually(lambda: running(api, namespace, "engine"))


def test_a_loader_that_failed_leaves_no_weights(api, cluster_weights, pool, namespace):
    pool("models2", gpus=1, min=1, max=1)
    bucket = f"bucket-{namespace}"
    api.create(loader(namespace, bucket, node_selector={"none": "such"}))
    (pod,) = eventually(lambda: api.list("v1", "Pod", namespace))
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    container = {"name": "loader", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
    api.patch(pod, {"status": {"phase": "Failed", "containerStatuses": [container], "conditions": []}}, "status")
    eventually(lambda: api.get("batch/v1", "Job", "load", namespace)["status"].get("failed"))
    api.create(engine(namespace, bucket, "models2"))
    assert "no weights in gs://" in eventually(lambda: waiting(api, namespace, "engine"))
    assert BucketWeights(cluster_weights).prefixes(bucket) == []
