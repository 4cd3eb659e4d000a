"""What real containers suffer reaches the user as the error of their resource, with the ends of their logs."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.providers.kubernetes.evidence import Evidence
from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.provider import Autoname, InitializationFailedError, Resource
from tests.node.helpers import IMAGE, eventually, execute

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
JOB = "kubernetes:batch/v1:Job"
SAYS_AND_ENDS = "exec >&2; echo loading; echo 'no space left on device'; exit 7"
"""All on one stream: what is said on two of them at once reaches the log in any order."""
UNREADY = {"exec": {"command": ["/bin/busybox", "true"]}, "initialDelaySeconds": 30}
"""Without a probe a container counts as ready as soon as it runs, and an error a moment later comes too late."""
SECONDS = 90
"""A guard for whatever a resource waits for."""
TOOL = "/bin/busybox"
RUNS = [TOOL, "sleep", "3600"]


@pytest.fixture
def plugin(cluster):
    """The kubernetes plugin, connected to the cluster."""
    made = KubernetesPlugin()
    made.configure({"kubeconfig": json.dumps(cluster.kubeconfig())})
    return made


@pytest.fixture
def shown(plugin):
    """What the plugin says while it waits."""
    lines = []
    plugin.engine.status = lambda message, urn: lines.append(message)
    return lines


def container(*command, **more):
    return {"name": "engine", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": list(command), **more}


def shell(script, **more):
    return container("/bin/busybox", "sh", "-c", script, **more)


def deployment(namespace, running):
    labels = {"app": "web"}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [running]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def job(namespace, running, restart, **spec):
    pod = {"restartPolicy": restart, "containers": [running], "terminationGracePeriodSeconds": 1}
    meta = {"name": "load", "namespace": namespace}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
    }


def error_of(plugin, token, inputs):
    what = Resource.of(f"urn:pulumi:local::p::{token}::{inputs['metadata']['name']}")
    checked = plugin.check(what, inputs, None, Autoname())
    assert not checked.problems
    with pytest.raises(InitializationFailedError) as raised:
        plugin.create(what, checked.inputs, SECONDS, preview=False)
    return "\n".join(raised.value.reasons)


def error_after(plugin, token, inputs, seen, causes, end):
    """The error of a resource that waits until the causes are among what is seen, and then is ended."""

    def watch():
        eventually(lambda: all(cause in seen() for cause in causes), SECONDS)
        end()

    with ThreadPoolExecutor(1) as user:
        watched = user.submit(watch)
        error = error_of(plugin, token, inputs)
    watched.result()
    return error


def interrupted(plugin, inputs, seen, *causes):
    """The error of a Deployment that never gets ready, whose user gives up once the causes are among what is seen."""
    return error_after(plugin, DEPLOYMENT, inputs, seen, causes, plugin.cancelled.set)


def evidence(api, inputs):
    """Looks for what the cluster says of a Deployment's pods."""

    def look():
        live = api.find("apps/v1", "Deployment", inputs["metadata"]["name"], inputs["metadata"]["namespace"])
        return str(Evidence(api).about(live)) if live else ""

    return look


def test_an_image_that_nobody_has_is_named(plugin, api, namespace):
    inputs = deployment(namespace, container(*RUNS) | {"image": "localhost/none:1"})
    told = interrupted(plugin, inputs, evidence(api, inputs), "localhost/none:1", "Image")
    assert "0 of 1 replicas are available" in told
    assert "ErrImagePull" in told or "ImagePullBackOff" in told
    assert "localhost/none:1" in told


def test_a_crash_loop_shows_the_status_and_the_end_of_the_log_while_it_waits(plugin, shown, namespace):
    inputs = deployment(namespace, shell(SAYS_AND_ENDS, readinessProbe=UNREADY))
    told = interrupted(plugin, inputs, lambda: "\n".join(shown), "ended with status 7", "no space left on device")
    assert "ended with status 7 (Error)" in told
    assert "no space left on device" in told
    assert any("no space left on device" in line for line in shown)


def test_a_container_out_of_memory_says_so_with_its_limit(plugin, api, namespace):
    limits = {"limits": {"memory": "24Mi"}}
    greedy = container("/bin/busybox", "tail", "/dev/zero", resources=limits, readinessProbe=UNREADY)
    inputs = deployment(namespace, greedy)
    told = interrupted(plugin, inputs, evidence(api, inputs), "OOMKilled")
    assert "OOMKilled" in told
    assert "memory limit is 24Mi" in told


def test_a_probe_that_fails_says_what_it_heard_and_shows_the_log(plugin, api, namespace):
    probe = {"httpGet": {"port": 8080, "path": "/health/ready"}, "periodSeconds": 1}
    running = shell("echo waiting for the weights; exec /bin/busybox sleep 3600", readinessProbe=probe)
    inputs = deployment(namespace, running)
    causes = ["Readiness probe failed", "connection refused", "waiting for the weights"]
    told = interrupted(plugin, inputs, evidence(api, inputs), *causes)
    assert "Readiness probe failed" in told
    assert "connection refused" in told
    assert "waiting for the weights" in told


def test_a_job_that_fails_shows_its_log(plugin, namespace):
    told = error_of(plugin, JOB, job(namespace, shell(SAYS_AND_ENDS), "Never"))
    assert "BackoffLimitExceeded" in told
    assert "ended with status 7 (Error)" in told
    assert "no space left on device" in told


def test_a_job_whose_pod_goes_with_its_failure_shows_the_log_all_the_same(plugin, cluster, api, shown, namespace):
    """It ends once its log has been seen: how long a pod stays that has failed for the last time, nobody can say."""
    script = f"echo 'no space left on device'; until [ -e /state/end ]; do {TOOL} sleep 0.1; done; exit 7"
    running = shell(script, volumeMounts=[{"name": "state", "mountPath": "/state"}])
    inputs = job(namespace, running, "OnFailure", backoffLimit=1)
    inputs["spec"]["template"]["spec"]["volumes"] = [{"name": "state", "emptyDir": {}}]

    def end():
        (pod,) = api.list("v1", "Pod", namespace, labels="batch.kubernetes.io/job-name=load")
        execute(cluster, namespace, pod["metadata"]["name"], TOOL, "touch", "/state/end")

    error = error_after(plugin, JOB, inputs, lambda: "\n".join(shown), ["no space left on device"], end)
    assert "BackoffLimitExceeded" in error
    assert "no space left on device" in error


def test_a_deadline_that_ends_a_job_shows_what_its_pod_was_doing(plugin, api, shown, namespace):
    inputs = job(namespace, shell(f"echo copying; exec {TOOL} sleep 3600"), "Never")

    def end():
        api.patch(api.get("batch/v1", "Job", "load", namespace), {"spec": {"activeDeadlineSeconds": 1}})

    error = error_after(plugin, JOB, inputs, lambda: "\n".join(shown), ["copying"], end)
    assert "DeadlineExceeded" in error
    assert "copying" in error


def test_a_volume_that_cannot_be_mounted_names_what_is_missing(plugin, api, namespace):
    inputs = deployment(namespace, container(*RUNS))
    inputs["spec"]["template"]["spec"]["volumes"] = [{"name": "settings", "configMap": {"name": "not-there"}}]
    inputs["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "settings", "mountPath": "/s"}]
    told = interrupted(plugin, inputs, evidence(api, inputs), "not-there")
    assert 'configmap "not-there" not found' in told
