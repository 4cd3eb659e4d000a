"""Jobs are waited for to their end, fail with the reason of their pods, and are replaced where they ask so."""

import threading

import pytest

from local.providers.provider import CloudError, InitializationFailedError
from tests.engine.cluster.helpers import eventually
from tests.engine.cluster.test_plugin import resource, up

JOB = "kubernetes:batch/v1:Job"
ASKS = {"pulumi.com/replaceUnready": "true"}


def job(namespace, name="load", node_selector=None, **annotations):
    container = {"name": "loader", "image": "x"}
    pod = {"restartPolicy": "Never", "containers": [container], "nodeSelector": node_selector or {}}
    meta = {"name": name, "namespace": namespace, "annotations": annotations}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def fail_its_pod(api, namespace):
    """Do what a kubelet would do with a container that ends with status 3: the pod has no node, so nobody else does."""
    (pod,) = eventually(lambda: api.list("v1", "Pod", namespace))
    ended = {"terminated": {"exitCode": 3, "reason": "Error", "message": "no such revision"}}
    container = {"name": "loader", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
    api.patch(pod, {"status": {"phase": "Failed", "containerStatuses": [container], "conditions": []}}, "status")


def failed(plugin, api, namespace, **annotations):
    """Inputs of a Job that has failed, and the error."""
    inputs = job(namespace, node_selector={"none": "such"}, **annotations)
    helper = threading.Thread(target=fail_its_pod, args=(api, namespace))
    helper.start()
    with pytest.raises(InitializationFailedError) as raised:
        up(plugin, JOB, inputs, "load")
    helper.join()
    return inputs, raised.value


def test_up_returns_when_the_job_is_complete(plugin, pool, namespace):
    pool("jobs", gpus=0, min=1, max=1)
    _, created = up(plugin, JOB, job(namespace), "load")
    assert created.outputs["status"]["succeeded"] == 1


def test_a_failed_job_tells_how_its_pod_ended_and_the_way_out(plugin, api, namespace):
    inputs, error = failed(plugin, api, namespace)
    told = " ".join(error.reasons)
    assert "BackoffLimitExceeded" in told
    assert "container loader ended with status 3 (Error): no such revision" in told
    assert "pulumi.com/replaceUnready" in told
    diff = plugin.diff(resource(JOB, "load"), error.id, inputs, error.outputs, inputs)
    assert not diff.changes


def test_a_failed_job_that_asks_for_it_is_replaced_by_the_next_update(plugin, api, namespace):
    inputs, error = failed(plugin, api, namespace, **ASKS)
    diff = plugin.diff(resource(JOB, "load"), error.id, inputs, error.outputs, inputs)
    assert diff.replaces
    assert diff.delete_before_replace


def test_a_complete_job_that_asks_for_it_stays(plugin, pool, namespace):
    pool("jobs2", gpus=0, min=1, max=1)
    inputs, created = up(plugin, JOB, job(namespace, **ASKS), "load")
    assert not plugin.diff(resource(JOB, "load"), created.id, inputs, created.outputs, inputs).changes


def test_another_template_replaces_a_job(plugin, api, namespace):
    inputs, error = failed(plugin, api, namespace)
    changed = job(namespace, node_selector={"another": "one"})
    what = resource(JOB, "load")
    assert plugin.diff(what, error.id, inputs, error.outputs, changed).replaces
    # A preview goes on to try the new one, while the old one stands in its place.
    planned = plugin.create(what, changed, 5, preview=True)
    assert planned.outputs["metadata"]["name"] == "load"
    assert planned.outputs["spec"]["template"]["spec"]["nodeSelector"] == {"another": "one"}
    wrong = job(namespace, node_selector={"another": "one"})
    wrong["spec"]["template"]["spec"]["restartPolicy"] = "Sometimes"
    with pytest.raises(CloudError, match="restartPolicy"):
        plugin.create(what, wrong, 5, preview=True)


def test_a_job_that_goes_takes_its_pods_along(plugin, api, namespace):
    inputs = job(namespace, node_selector={"none": "such"}, **{"pulumi.com/skipAwait": "true"})
    inputs, created = up(plugin, JOB, inputs, "load")
    eventually(lambda: api.list("v1", "Pod", namespace))
    plugin.delete(resource(JOB, "load"), created.id, inputs, created.outputs, 30)
    assert api.list("v1", "Pod", namespace) == []


def test_a_preview_does_not_wait_for_an_object_that_is_on_its_way_out(plugin, api, namespace):
    held = job(namespace, node_selector={"none": "such"})
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.delete(api.create(held))
    planned = plugin.create(resource(JOB, "load"), job(namespace), 5, preview=True)
    assert planned.outputs["metadata"]["name"] == "load"
    api.patch(held, {"metadata": {"finalizers": None}})
