"""What a cluster with autoscaling is made of, before anything runs."""

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from local.cluster import certificates, identities
from local.cluster.autoscaling import discovery, keda_objects, startup
from local.cluster.autoscaling.programs import FIXED_PORTS
from local.cluster.config import AutoscalingOptions, ClusterConfig
from local.cluster.layout import Layout
from local.cluster.processes import Command
from local.cluster.supervisor import _Child
from local.endpoint.scraping import scrape_configurations
from tests.unit.local.cluster.handshake import peers_agree

JOB = {"job_name": "engines", "static_configs": [{"targets": ["127.0.0.1:1"]}]}
RULES = {"name": "r", "rules": [{"record": "level:metric:operation", "expr": "sum(up)"}]}
OPTIONS = AutoscalingOptions(scrape=(JOB,), rules=(RULES,), scrape_seconds=1, sync_seconds=2)


POD = {
    "metadata": {"name": "p", "namespace": "n", "labels": {"a.b/c-d": "v"}},
    "spec": {
        "nodeName": "here",
        "containers": [
            {"name": "engine", "ports": [{"containerPort": 8000, "name": "http"}, {"containerPort": 8080}]},
            {"name": "other"},
        ],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1"},
}


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sync_seconds": 0}, "sync_seconds is 0, and must be from 1 to 60"),
        ({"scrape_seconds": 61}, "scrape_seconds is 61"),
        ({"scrape": ({},)}, "job name '' is empty"),
        ({"scrape": (JOB, JOB)}, "job name 'engines' is empty, given twice"),
        ({"scrape": ({"job_name": "kube-state-metrics"},)}, "'kube-state-metrics'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AutoscalingOptions(**options)


def test_a_configuration_is_read_back_as_it_was_written(layout):
    config = ClusterConfig(autoscaling=OPTIONS)
    config.write(layout)
    assert ClusterConfig.read(layout) == config


def test_a_cluster_that_was_made_before_there_was_autoscaling_is_read_without(layout):
    ClusterConfig().write(layout)
    kept = json.loads(layout.config.read_text())
    del kept["autoscaling"]
    layout.config.write_text(json.dumps(kept))
    assert ClusterConfig.read(layout).autoscaling is None


def test_identities_of_autoscaling_are_made_for_clusters_that_have_it_alone():
    with_it = set(identities.users(ClusterConfig(autoscaling=OPTIONS)))
    own = {identities.KEDA, identities.KUBE_STATE_METRICS, identities.PROMETHEUS}
    assert with_it - set(identities.users(ClusterConfig())) == own


def test_a_cluster_that_gets_autoscaling_later_keeps_its_tokens(layout):
    identities.make(layout, ClusterConfig())
    before = {name: identities.token(layout, name) for name in identities.users(ClusterConfig())}
    identities.make(layout, ClusterConfig(autoscaling=OPTIONS))
    assert {name: identities.token(layout, name) for name in before} == before
    assert identities.token(layout, identities.KEDA) in identities.token_file(layout).read_text()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: the configuration was not checked")
def test_prometheus_takes_the_configuration_with_scrapes_and_rules(tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"groups": list(OPTIONS.rules)}))
    written = tmp_path / "prometheus.json"
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps(discovery.targets([POD])))
    options = replace(OPTIONS, scrape=(JOB, *scrape_configurations()))
    written.write_text(json.dumps(startup.prometheus_configuration(options, "127.0.0.1:2", rules, targets)))
    checked = subprocess.run(["promtool", "check", "config", written], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 rules found" in checked.stdout


def test_the_certificate_of_keda_is_good_for_both_sides_and_its_authority_key_is_not_lying_beside_it(layout):
    certificates.make(layout.certificates)
    certificates.make_keda(layout.certificates, layout.keda_certificates)
    keys = layout.keda_certificates
    assert peers_agree(keys / "ca.crt", keys / "tls", keys / "tls", "keda-operator.keda.svc")
    assert (keys / "ca.crt").read_bytes() == (layout.certificates / "ca.crt").read_bytes()
    assert not (keys / "ca.key").exists()

    before = (keys / "tls.crt").read_bytes()
    certificates.make_keda(layout.certificates, keys)
    assert (keys / "tls.crt").read_bytes() == before, "made once"


def test_nothing_passes_keda_unchecked(layout):
    certificates.make(layout.certificates)
    certificates.make_keda(layout.certificates, layout.keda_certificates)
    keda_manifests = keda_objects.objects(layout, ClusterConfig(ports=dict(FIXED_PORTS), autoscaling=OPTIONS))
    (webhook,) = (manifest for manifest in keda_manifests if manifest["kind"] == "ValidatingWebhookConfiguration")
    assert {hook["failurePolicy"] for hook in webhook["webhooks"]} == {"Fail"}
    assert {hook["clientConfig"]["url"].rsplit("/", 1)[0] for hook in webhook["webhooks"]} == {"https://127.0.0.1:9443"}


def test_every_port_of_a_pod_with_an_address_is_found_under_the_labels_of_prometheus_own_discovery():
    one, other = discovery.targets([POD, {**POD, "status": {"phase": "Pending"}}])
    assert (one["targets"], other["targets"]) == (["10.0.0.1:8000"], ["10.0.0.1:8080"])
    assert one["labels"] == {
        "__meta_kubernetes_namespace": "n",
        "__meta_kubernetes_pod_name": "p",
        "__meta_kubernetes_pod_phase": "Running",
        "__meta_kubernetes_pod_ip": "10.0.0.1",
        "__meta_kubernetes_pod_node_name": "here",
        "__meta_kubernetes_pod_label_a_b_c_d": "v",
        "__meta_kubernetes_pod_container_name": "engine",
        "__meta_kubernetes_pod_container_port_name": "http",
    }


def test_a_program_waits_for_the_files_that_it_needs(layout):
    needed = layout.root / "needed"
    child = _Child(Command("keda", ("true",), after=("kube-apiserver",), needs=(needed,)), layout.log("keda"))
    assert not child.may_start({"kube-apiserver"})
    needed.touch()
    assert child.may_start({"kube-apiserver"})
    assert not child.may_start(set())
