"""The kubernetes plugin does to a real API server what the real provider does."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from local.providers import host_names
from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.properties import UNKNOWN, Secret
from local.providers.provider import Autoname, CloudError, InitializationFailedError, Resource
from local.state_folder import StateFolder
from tests.engine.cluster.helpers import deployment, eventually, gpu_pod

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
NAMESPACE = "kubernetes:core/v1:Namespace"


def resource(token, name="web"):
    return Resource.of(f"urn:pulumi:dev::p::{token}::{name}")


def config_map(namespace, name="settings", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def up(plugin, token, inputs, name="web", timeout=60):
    what = resource(token, name)
    checked = plugin.check(what, inputs, None, Autoname())
    assert not checked.problems
    return checked.inputs, plugin.create(what, checked.inputs, timeout, preview=False)


def test_a_deployment_is_ready_when_up_returns(plugin, cluster, pool, namespace):
    full = pool("serve", min=0, max=0)
    lines = []
    plugin.engine.status = lambda message, urn: lines.append(message)
    inputs = deployment(namespace, pool="serve", container={"resources": {"limits": {"nvidia.com/gpu": "1"}}})

    def grow():
        eventually(lambda: any("0 of 1 replicas" in line for line in lines))
        cluster.put_pool(replace(full, max=1))

    with ThreadPoolExecutor(1) as other:
        growing = other.submit(grow)
        _, created = up(plugin, DEPLOYMENT, inputs)
        growing.result()
    assert created.id == f"{namespace}/web"
    assert created.outputs["status"]["availableReplicas"] == 1
    assert any("0 of 1 replicas" in line for line in lines)


def test_a_deployment_that_never_fits_names_the_schedulers_reason_and_stays_in_the_state(plugin, api, pool, namespace):
    pool("full", min=0, max=1)
    stray = gpu_pod(namespace, "stray", "nowhere")  # carries the same label, and is none of ours
    stray["metadata"]["labels"] = {"app": "web"}
    api.create(stray)
    inputs = deployment(namespace, pool="full", container={"resources": {"limits": {"nvidia.com/gpu": "8"}}})
    with pytest.raises(InitializationFailedError) as raised:
        up(plugin, DEPLOYMENT, inputs, timeout=15)  # time for the scheduler's verdict on a busy machine
    told = " ".join(raised.value.reasons)
    assert "0 of 1 replicas are available" in told
    assert "cannot be scheduled" in told
    assert "Insufficient nvidia.com/gpu" in told
    assert "stray" not in told
    assert raised.value.id == f"{namespace}/web"
    # The next update waits again, and passes once there is room.
    smaller = deployment(namespace, pool="full", container={"resources": {"limits": {"nvidia.com/gpu": "1"}}})
    what = resource(DEPLOYMENT)
    outputs = plugin.update(what, raised.value.id, inputs, raised.value.outputs, smaller, 60, preview=False)
    assert outputs["status"]["availableReplicas"] == 1


def test_a_refresh_of_an_unready_object_says_so(plugin, pool, namespace):
    pool("never", min=0, max=1)
    inputs = deployment(namespace, pool="never", container={"resources": {"limits": {"nvidia.com/gpu": "8"}}})
    with pytest.raises(InitializationFailedError) as raised:
        up(plugin, DEPLOYMENT, inputs, timeout=1)
    with pytest.raises(InitializationFailedError, match="not ready"):
        plugin.read(resource(DEPLOYMENT), raised.value.id, inputs, raised.value.outputs)


def test_an_interrupted_wait_ends_at_once(plugin, namespace):
    inputs = deployment(namespace, pool="nowhere")
    threading.Timer(1.0, plugin.cancel).start()
    with pytest.raises(InitializationFailedError, match="interrupted"):
        up(plugin, DEPLOYMENT, inputs, timeout=60)


def test_a_field_that_the_api_server_does_not_know_is_refused(plugin, namespace):
    inputs = deployment(namespace, container={"imagePulPolicy": "Always"})
    with pytest.raises(CloudError, match="imagePulPolicy"):  # past our own check
        plugin.create(resource(DEPLOYMENT), inputs, 5, preview=False)
    with pytest.raises(CloudError, match="imagePulPolicy"):
        plugin.create(resource(DEPLOYMENT), inputs, 5, preview=True)


def test_a_preview_leaves_nothing_behind(plugin, api, namespace):
    what, inputs = resource(CONFIG_MAP), config_map(namespace, a="1")
    created = plugin.create(what, inputs, 5, preview=True)
    assert created.outputs["data"] == {"a": "1"}
    assert created.outputs["metadata"]["uid"] is UNKNOWN
    assert api.find("v1", "ConfigMap", "settings", namespace) is None


def test_a_preview_before_the_namespace_exists_passes(plugin):
    created = plugin.create(resource(CONFIG_MAP), config_map("not-yet", a="1"), 5, preview=True)
    assert created.outputs["status"] is UNKNOWN


def test_what_somebody_else_made_is_not_taken_over(plugin, api, namespace):
    api.apply(config_map(namespace, a="1"))
    with pytest.raises(CloudError, match="already exists"):
        up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    with pytest.raises(CloudError, match="already exists"):
        plugin.create(resource(CONFIG_MAP), config_map(namespace, a="1"), 5, preview=True)


def test_a_preview_replaces_an_object_of_which_another_manager_took_every_field(plugin, api, namespace):
    what = resource(CONFIG_MAP)
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    taken = api.apply(config_map(namespace, a="theirs"), force=True, manager="some-controller")
    assert {entry["manager"] for entry in taken["metadata"]["managedFields"]} == {"some-controller"}
    changed = config_map(namespace, a="2")
    assert plugin.diff(what, created.id, inputs, created.outputs, changed).delete_before_replace
    assert plugin.create(what, changed, 5, preview=True).outputs["data"] == {"a": "2"}
    # As in the update that follows, which deletes first.
    plugin.delete(what, created.id, inputs, created.outputs, 60)
    assert plugin.create(what, changed, 60, preview=False).outputs["data"] == {"a": "2"}


def test_a_creation_that_was_killed_half_way_is_taken_up_again(plugin, api, namespace):
    up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    # The engine was killed before it heard of it: it creates once more.
    _, created = up(plugin, CONFIG_MAP, config_map(namespace, a="2"))
    assert created.outputs["data"] == {"a": "2"}


def test_a_conflict_names_the_field_and_the_other_manager(plugin, api, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    api.apply(config_map(namespace, a="theirs"), force=True, manager="some-controller")
    changed = config_map(namespace, a="ours")
    with pytest.raises(CloudError) as raised:
        plugin.update(resource(CONFIG_MAP), created.id, inputs, created.outputs, changed, 5, preview=False)
    assert "'some-controller' owns .data.a" in str(raised.value)
    assert "patchForce" in str(raised.value)
    changed["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    outputs = plugin.update(resource(CONFIG_MAP), created.id, inputs, created.outputs, changed, 5, preview=False)
    assert outputs["data"] == {"a": "ours"}


def test_drift_shows_and_a_removed_field_goes(plugin, api, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1", b="2"))
    api.apply(config_map(namespace, a="drifted"), force=True, manager="somebody")
    read = plugin.read(resource(CONFIG_MAP), created.id, inputs, created.outputs)
    assert read.inputs["data"]["a"] == "drifted"
    outputs = plugin.update(
        resource(CONFIG_MAP), created.id, inputs, created.outputs, config_map(namespace, c="3"), 5, preview=False
    )
    assert "b" not in outputs["data"]
    assert outputs["data"]["c"] == "3"


def test_an_object_that_is_gone_reads_as_gone_and_an_import_reads_whole(plugin, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    imported = plugin.read(resource(CONFIG_MAP), created.id, {}, {})
    assert imported.inputs["data"] == {"a": "1"}
    plugin.delete(resource(CONFIG_MAP), created.id, inputs, created.outputs, 30)
    assert plugin.read(resource(CONFIG_MAP), created.id, inputs, created.outputs) is None
    plugin.delete(resource(CONFIG_MAP), created.id, inputs, created.outputs, 30)  # twice is no error


def test_what_somebody_changed_with_kubectl_is_put_back(plugin, api, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    api.apply(config_map(namespace, a="by hand"), force=True, manager="kubectl-edit")
    what, wanted = resource(CONFIG_MAP), config_map(namespace, a="1", b="2")
    previewed = plugin.update(what, created.id, inputs, created.outputs, wanted, 5, preview=True)
    assert previewed["data"] == {"a": "1", "b": "2"}
    outputs = plugin.update(what, created.id, inputs, created.outputs, wanted, 5, preview=False)
    assert outputs["data"] == {"a": "1", "b": "2"}


def test_a_field_that_only_the_api_server_knows_to_be_immutable_replaces(plugin, namespace):
    what = resource("kubernetes:core/v1:Service")
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb", "namespace": namespace}}
    made["spec"] = {"type": "LoadBalancer", "loadBalancerClass": "example.com/one", "ports": [{"port": 80}]}
    made["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    inputs, created = up(plugin, what.token, made)
    changed = {**inputs, "spec": {**inputs["spec"], "loadBalancerClass": "example.com/two"}}
    diff = plugin.diff(what, created.id, inputs, created.outputs, changed)
    assert diff.replacing == {"spec.loadBalancerClass"}
    assert diff.delete_before_replace  # its name is fixed


def test_a_sealed_secret_is_replaced_although_secrets_may_change(cluster, namespace):
    plugin = KubernetesPlugin()
    plugin.configure({"kubeconfig": json.dumps(cluster.kubeconfig()), "enableSecretMutable": "true"})
    what = resource("kubernetes:core/v1:Secret")
    made = {"apiVersion": "v1", "kind": "Secret", "immutable": True, "stringData": {"a": "1"}}
    made["metadata"] = {"name": "fixed", "namespace": namespace}
    inputs, created = up(plugin, what.token, made)
    assert isinstance(created.outputs["data"], Secret)
    assert plugin.diff(what, created.id, inputs, created.outputs, {**inputs, "stringData": {"a": "2"}}).replaces
    assert plugin.diff(what, created.id, inputs, created.outputs, {**inputs, "immutable": False}).replaces


def test_a_definition_can_be_used_as_soon_as_it_is_up(plugin, api, namespace):
    names_ = {"plural": "boxes", "kind": "Box", "singular": "box"}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {"group": "example.com", "names": names_, "scope": "Namespaced", "versions": [version]},
    }
    token = "kubernetes:example.com/v1:Box"
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b", "namespace": namespace}}
    # The garbage collector, whom a foreground deletion waits for, hears of a new kind up to 30 s later.
    box["metadata"]["annotations"] = {"pulumi.com/deletionPropagationPolicy": "background"}
    # Before its definition a preview passes.
    assert plugin.create(resource(token), {**box, "spec": {"size": 1}}, 5, preview=True)
    definition = up(plugin, "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", crd, "boxes")
    inputs, created = up(plugin, token, {**box, "spec": {"size": 1}})
    assert created.id == f"{namespace}/b"
    with pytest.raises(CloudError, match="sise"):
        plugin.update(
            resource(token), created.id, inputs, created.outputs, {**inputs, "spec": {"sise": 1}}, 5, preview=False
        )
    plugin.delete(resource(token), created.id, inputs, created.outputs, 30)
    plugin.delete(
        resource("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "boxes"),
        definition[1].id,
        definition[0],
        definition[1].outputs,
        30,
    )
    eventually(lambda: api.find("example.com/v1", "Box", "b", namespace) is None)


def test_a_namespace_that_a_finalizer_holds_names_it(plugin, api):
    inputs, created = up(plugin, NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "held"}})
    held = config_map("held", a="1")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(held)
    with pytest.raises(CloudError) as raised:
        plugin.delete(resource(NAMESPACE), created.id, inputs, created.outputs, 15)
    assert "still there" in str(raised.value)
    assert "configmaps settings with finalizers example.com/hold" in str(raised.value)
    api.patch(held, {"metadata": {"finalizers": None}})
    plugin.delete(resource(NAMESPACE), created.id, inputs, created.outputs, 60)
    assert api.find("v1", "Namespace", "held") is None


def test_a_bare_pod_in_a_fresh_namespace_waits_for_its_service_account(plugin, api, pool):
    pool("cpu", gpus=0, min=1, max=1)
    up(plugin, NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "fresh"}}
    pod["spec"] = {"containers": [{"name": "c", "image": "x"}]}
    _, created = up(plugin, "kubernetes:core/v1:Pod", pod)
    assert created.outputs["status"]["phase"] == "Running"
    api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}})


def test_a_service_waits_for_the_pods_that_it_has_and_not_for_any(plugin, api, pool, namespace):
    pool("cpu2", gpus=0, min=1, max=1)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}}
    service["spec"] = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    _, created = up(plugin, "kubernetes:core/v1:Service", service)
    assert created.outputs["spec"]["clusterIP"]
    up(plugin, DEPLOYMENT, deployment(namespace, pool="cpu2"))
    (pod,) = api.list("v1", "Pod", namespace)
    cold = [c | {"status": "False"} if c["type"] == "Ready" else c for c in pod["status"]["conditions"]]
    api.patch(pod, {"status": {"conditions": cold}}, "status")

    def told():
        slices = api.list("discovery.k8s.io/v1", "EndpointSlice", namespace)
        return [
            end
            for endpoint_slice in slices
            for end in endpoint_slice.get("endpoints") or []
            if end["conditions"]["ready"] is False
        ]

    eventually(told)
    with pytest.raises(InitializationFailedError, match="1 of the 1 pods that it selects are not ready"):
        up(plugin, "kubernetes:core/v1:Service", service, timeout=3)


def test_a_release_is_recorded_and_brings_its_definitions(plugin, api, namespace, capsys):
    token = "kubernetes:helm.sh/v3:Release"
    chart = {"chart": "lws", "version": "0.8.0", "name": "lws", "namespace": namespace, "values": {"a": 1}}
    what = resource(token, "lws")
    inputs = plugin.check(what, chart, None, Autoname()).inputs
    created = plugin.create(what, inputs, 60, preview=False)
    assert created.outputs["status"]["status"] == "deployed"
    assert "was not rendered" in capsys.readouterr().err
    record = api.get("v1", "Secret", "sh.helm.release.v1.lws.v1", namespace)
    assert "release.json" in record["data"]
    assert api.resource("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet").namespaced
    assert plugin.read(what, created.id, inputs, created.outputs) is not None
    outputs = plugin.update(
        what, created.id, inputs, created.outputs, {**inputs, "version": "0.8.1"}, 60, preview=False
    )
    assert outputs["status"]["revision"] == 2
    plugin.delete(what, created.id, inputs, outputs, 60)
    assert plugin.read(what, created.id, inputs, outputs) is None


def test_a_host_of_the_local_clouds_leads_to_its_control_plane(cluster, namespace, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_SERVING_LOCAL", str(tmp_path))
    host = "gke-0123-456.europe-west4.gke.goog"
    host_names.register(host, cluster.directory, StateFolder.of())
    plugin = KubernetesPlugin()
    user = {"exec": {"command": "this-is-never-run", "apiVersion": "client.authentication.k8s.io/v1"}}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"https://{host}"}}],
        "users": [{"name": "u", "user": user}],
    }
    plugin.configure({"kubeconfig": json.dumps(config)})
    _, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    assert created.id == f"{namespace}/settings"


def test_a_cluster_that_is_gone_stops_an_update_and_can_be_forgotten(plugin, namespace):
    inputs, created = up(plugin, CONFIG_MAP, config_map(namespace, a="1"))
    gone = KubernetesPlugin()
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [],
    }
    gone.configure({"kubeconfig": json.dumps(config)})
    what = resource(CONFIG_MAP)
    with pytest.raises(CloudError, match=r"unreachable.*deleteUnreachable"):
        gone.update(what, created.id, inputs, created.outputs, inputs, 5, preview=False)
    forgiving = KubernetesPlugin()
    forgiving.configure({"kubeconfig": json.dumps(config), "deleteUnreachable": "true"})
    forgiving.delete(what, created.id, inputs, created.outputs, 5)
    assert forgiving.read(what, created.id, inputs, created.outputs) is None
    skipping = KubernetesPlugin()
    skipping.configure({"kubeconfig": json.dumps(config), "skipUpdateUnreachable": "true"})
    kept = skipping.update(what, created.id, inputs, created.outputs, {**inputs, "data": {"a": "2"}}, 5, preview=False)
    assert kept == created.outputs


def test_the_pod_security_of_a_namespace_warns_through_the_engine(plugin, cluster, api, namespace):
    labels = {"pod-security.kubernetes.io/warn": "restricted"}
    api.patch(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, {"metadata": {"labels": labels}}
    )
    inputs = deployment(namespace, replicas=0)
    seen = []
    asking = cluster.client(on_warning=seen.append)
    thing = {"apiVersion": "apps/v1", "kind": "Deployment", **inputs}
    eventually(lambda: asking.create(thing, dry_run=True) and seen)  # the API server has read the labels
    heard = []
    plugin.engine.warning = lambda message, urn="": heard.append(message)
    up(plugin, DEPLOYMENT, inputs)
    assert any("PodSecurity" in message for message in heard)


def test_a_load_balancer_gets_its_address(plugin, namespace):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb", "namespace": namespace}}
    service["spec"] = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    _, created = up(plugin, "kubernetes:core/v1:Service", service)
    assert created.outputs["status"]["loadBalancer"]["ingress"][0]["ip"].startswith("203.0.113.")
