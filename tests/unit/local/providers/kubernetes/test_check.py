"""What the SDK's types know to be wrong never reaches a cluster, and names come as with the real provider."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.properties import UNKNOWN, Secret
from local.providers.provider import Autoname, CloudError, Resource

DEPLOYMENT = "kubernetes:apps/v1:Deployment"


@pytest.fixture
def plugin():
    kubernetes_plugin = KubernetesPlugin()
    kubernetes_plugin.configure({"kubeconfig": "/nowhere/config"})
    return kubernetes_plugin


def check(plugin, token, inputs, olds=None, **autoname):
    resource = Resource.of(f"urn:pulumi:dev::p::{token}::web")
    return plugin.check(resource, inputs, olds, Autoname(seed=b"s", **autoname))


def deployment(container=None, **spec):
    labels = {"app": "m"}
    pod = {"containers": [{"name": "c", "image": "i", **(container or {})}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def paths(checked):
    return [problem.path for problem in checked.problems]


def test_a_correct_deployment_passes(plugin):
    assert not check(plugin, DEPLOYMENT, deployment()).problems


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        (deployment({"imagePulPolicy": "Always"}), "spec.template.spec.containers[0].imagePulPolicy"),
        (deployment(replicas="two"), "spec.replicas"),
        (deployment({"resources": {"limits": "1"}}), "spec.template.spec.containers[0].resources.limits"),
        ({"spec": {"replicas": 1}}, "spec.selector"),
    ],
)
def test_a_misspelt_mistyped_or_missing_field_is_named_by_its_path(plugin, inputs, path):
    assert path in paths(check(plugin, DEPLOYMENT, inputs))


def test_a_metadata_typo_of_a_custom_resource_is_found(plugin):
    inputs = {"apiVersion": "keda.sh/v1", "kind": "ScaledObject", "metadata": {"lables": {}}, "spec": {"anything": 1}}
    assert paths(check(plugin, "kubernetes:keda.sh/v1:ScaledObject", inputs)) == ["metadata.lables"]


def test_a_kind_that_kubernetes_does_not_have_is_refused(plugin):
    assert check(plugin, "kubernetes:apps/v1:Deplyment", {"kind": "Deplyment", "apiVersion": "apps/v1"}).problems


def test_a_name_is_generated_kept_and_drawn_anew_when_asked(plugin):
    first = check(plugin, DEPLOYMENT, deployment()).inputs["metadata"]
    assert first["name"].startswith("web-")
    assert first["annotations"] == {"pulumi.com/autonamed": "true"}
    assert first["namespace"] == "default"
    kept = check(plugin, DEPLOYMENT, deployment(), {"metadata": {**first, "name": "web-1"}}).inputs["metadata"]
    assert kept["name"] == "web-1"
    proposed = check(plugin, DEPLOYMENT, deployment(), proposed="web-dev").inputs["metadata"]
    assert proposed["name"] == "web-dev"


def test_a_given_name_is_left_alone(plugin):
    inputs = {**deployment(), "metadata": {"name": "mine", "namespace": "team"}}
    assert check(plugin, DEPLOYMENT, inputs).inputs["metadata"] == {"name": "mine", "namespace": "team"}


def test_generated_names_can_be_turned_off(plugin):
    assert paths(check(plugin, DEPLOYMENT, deployment(), disabled=True)) == ["metadata.name"]


def test_what_has_no_namespace_gets_none(plugin):
    assert "namespace" not in check(plugin, "kubernetes:core/v1:Namespace", {"kind": "Namespace"}).inputs["metadata"]


def test_unknown_values_pass(plugin):
    inputs = deployment(replicas=UNKNOWN)
    inputs["metadata"] = {"namespace": UNKNOWN}
    checked = check(plugin, DEPLOYMENT, inputs)
    assert not checked.problems
    assert checked.inputs["metadata"]["namespace"] is UNKNOWN


def test_a_secrets_content_becomes_secret(plugin):
    inputs = {"kind": "Secret", "apiVersion": "v1", "stringData": {"pw": "x"}}
    assert isinstance(check(plugin, "kubernetes:core/v1:Secret", inputs).inputs["stringData"], Secret)


@pytest.mark.parametrize(("key", "value"), [("waitFor", "ready"), ("timeoutSeconds", "5m")])
def test_an_annotation_that_is_not_understood_is_refused(plugin, key, value):
    inputs = {**deployment(), "metadata": {"name": "n", "annotations": {f"pulumi.com/{key}": value}}}
    assert paths(check(plugin, DEPLOYMENT, inputs)) == [f'metadata.annotations["pulumi.com/{key}"]']


def test_manifests_are_decoded_with_a_default_namespace(plugin):
    text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod}\n---\napiVersion: v1\nkind: Namespace\n"
    decoded = plugin.invoke("kubernetes:yaml:decode", {"text": text, "defaultNamespace": "team"})["result"]
    assert [object_["kind"] for object_ in decoded] == ["Pod", "Namespace"]
    assert decoded[0]["metadata"]["namespace"] == "team"
    assert "metadata" not in decoded[1]


def test_a_preview_without_a_cluster_goes_on_with_a_warning(plugin, capsys):
    resource = Resource.of(f"urn:pulumi:dev::p::{DEPLOYMENT}::web")
    inputs = check(plugin, DEPLOYMENT, deployment()).inputs
    created = plugin.create(resource, inputs, 0, preview=True)
    assert created.outputs["status"] is UNKNOWN
    assert "unreachable" in capsys.readouterr().err


@pytest.fixture
def dying_cluster():
    """A kubeconfig of an API server that tells its version and hangs up on everything else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/version"):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")
            self.close_connection = True

        def log_message(self, *_):
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "current-context": "c",
        }
        server.shutdown()


def test_a_cluster_that_goes_away_fails_no_preview_of_new_objects_or_of_existing_ones(plugin, dying_cluster, capsys):
    plugin.configure({"kubeconfig": json.dumps(dying_cluster)})
    resource = Resource.of(f"urn:pulumi:dev::p::{DEPLOYMENT}::web")
    inputs = {**deployment(), "metadata": {"name": "web", "namespace": "team"}}
    assert plugin.create(resource, inputs, 0, preview=True).outputs["status"] is UNKNOWN
    assert "unreachable" in capsys.readouterr().err
    assert plugin.update(resource, "team/web", inputs, inputs, inputs, 0, preview=True)["status"] is UNKNOWN
    with pytest.raises(CloudError):
        plugin.create(resource, inputs, 0, preview=False)


def test_metadata_that_is_secret_as_a_whole_stays_so_and_is_filled_in(plugin):
    inputs = {**deployment(), "metadata": Secret({"annotations": {"token": "x"}})}
    metadata = check(plugin, DEPLOYMENT, inputs).inputs["metadata"]
    assert isinstance(metadata, Secret)
    assert metadata.value["name"].startswith("web-")
    assert metadata.value["annotations"]["token"] == "x"
