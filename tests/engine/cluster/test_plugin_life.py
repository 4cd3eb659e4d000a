"""Objects come in the order of what they need, drift is seen, and what keeps an object from going is named."""

import pytest

from local.providers.provider import CloudError, InitializationFailedError
from tests.engine.cluster.helpers import deployment, eventually
from tests.engine.cluster.test_plugin import CONFIG_MAP, DEPLOYMENT, config_map, resource, up

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"


@pytest.fixture
def storage(api, namespace):
    """Makes storage classes and volumes that go with the test."""
    made = []

    def make(kind, name, api_version="v1", **content):
        thing = {"apiVersion": api_version, "kind": kind, "metadata": {"name": f"{namespace}-{name}"}, **content}
        api.create(thing)
        made.append(thing)
        return thing["metadata"]["name"]

    yield make
    for thing in made:
        api.delete(thing)


def claim(namespace, **spec):
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    meta = {"name": "cache", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": wanted}


def storage_class(storage, name, mode):
    return storage("StorageClass", name, "storage.k8s.io/v1", provisioner="example.com/none", volumeBindingMode=mode)


def test_a_claim_that_binds_late_is_not_waited_for(plugin, namespace, storage):
    name = storage_class(storage, "late", "WaitForFirstConsumer")
    _, created = up(plugin, CLAIM, claim(namespace, storageClassName=name), "cache")
    assert created.outputs["status"]["phase"] == "Pending"


def test_a_claim_that_finds_no_volume_tells_its_event(plugin, namespace):
    with pytest.raises(InitializationFailedError) as raised:
        up(plugin, CLAIM, claim(namespace, storageClassName="nobody-made-this"), "cache", timeout=15)
    told = " ".join(raised.value.reasons)
    assert "there is no StorageClass 'nobody-made-this'" in told
    assert "ProvisioningFailed" in told


def test_a_claim_that_a_pod_uses_names_the_pod_that_keeps_it(plugin, api, pool, namespace, storage):
    pool("store", gpus=0, min=1, max=1)
    volume = storage(
        "PersistentVolume",
        "disk",
        spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}},
    )
    # The controller takes a claim up at once if its volume is ready, else after 15 s.
    eventually(lambda: api.get("v1", "PersistentVolume", volume).get("status", {}).get("phase") == "Available")
    inputs, created = up(plugin, CLAIM, claim(namespace, storageClassName="", volumeName=volume), "cache")
    assert created.outputs["status"]["phase"] == "Bound"
    user = deployment(namespace, pool="store")
    mounted = {"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}
    user["spec"]["template"]["spec"]["volumes"] = [mounted]
    users_inputs, users = up(plugin, DEPLOYMENT, user)
    with pytest.raises(CloudError) as raised:
        plugin.delete(resource(CLAIM, "cache"), created.id, inputs, created.outputs, 10)
    assert "kubernetes.io/pvc-protection" in str(raised.value)
    assert "used by Pod web-" in str(raised.value)
    plugin.delete(resource(DEPLOYMENT), users.id, users_inputs, users.outputs, 30)
    assert api.list("v1", "Pod", namespace) == []  # the pods go before the Deployment does
    plugin.delete(resource(CLAIM, "cache"), created.id, inputs, created.outputs, 30)


def seen(api, namespace):
    """The controller has seen the newest version of the Deployment."""

    def observed():
        deployment = api.get("apps/v1", "Deployment", "web", namespace)
        return deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]

    eventually(observed)


def test_a_refresh_sees_what_changed_of_ours_and_nothing_that_others_added(plugin, api, namespace):
    inputs, created = up(plugin, DEPLOYMENT, deployment(namespace, replicas=0))
    api.patch(created.outputs, {"spec": {"replicas": 0, "minReadySeconds": 3}, "metadata": {"labels": {"theirs": "x"}}})
    added = {"name": "mesh", "image": "m"}
    other = {**inputs, "metadata": {**inputs["metadata"]}, "spec": {"template": {"spec": {"containers": [added]}}}}
    api.apply(other, manager="mesh")
    seen(api, namespace)
    read = plugin.read(resource(DEPLOYMENT), created.id, inputs, created.outputs)
    assert read.inputs == inputs
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}}
    api.apply({**other, **image}, force=True, manager="somebody")
    seen(api, namespace)
    read = plugin.read(resource(DEPLOYMENT), created.id, inputs, created.outputs)
    assert [c["image"] for c in read.inputs["spec"]["template"]["spec"]["containers"]] == ["y"]
    drifted = plugin.diff(resource(DEPLOYMENT), created.id, read.inputs, read.outputs, inputs)
    assert list(drifted.changes) == ["spec.template.spec.containers[0].image"]


def test_an_object_that_somebody_deleted_is_made_again(plugin, api, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    api.delete(config_map(namespace))
    assert plugin.read(resource(CONFIG_MAP), created.id, inputs, created.outputs) is None
    changed = config_map(namespace, a="2")
    outputs = plugin.update(resource(CONFIG_MAP), created.id, inputs, created.outputs, changed, 5, preview=False)
    assert outputs["data"] == {"a": "2"}


def test_two_items_of_one_name_are_refused_by_their_path(plugin, namespace):
    twice = deployment(namespace)
    twice["spec"]["template"]["spec"]["containers"] *= 2
    with pytest.raises(CloudError, match=r'spec\.template\.spec\.containers: two items have name "c"'):
        plugin.create(resource(DEPLOYMENT), twice, 5, preview=True)


def test_pods_that_a_quota_refuses_are_told_as_long_as_nobody_waits_for_pods(plugin, api, namespace):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": namespace}}
    up(plugin, "kubernetes:core/v1:ResourceQuota", {**quota, "spec": {"hard": {"pods": "0"}}}, "none")
    stateful = {**deployment(namespace), "kind": "StatefulSet"}
    stateful["spec"]["serviceName"] = "web"
    with pytest.raises(InitializationFailedError) as raised:
        up(plugin, "kubernetes:apps/v1:StatefulSet", stateful, timeout=15)
    assert "exceeded quota: none" in " ".join(raised.value.reasons)
