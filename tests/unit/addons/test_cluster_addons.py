import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.addons.cluster_addons import ClusterAddons
from llm_serving.metrics.series import DCGM_GPU_UTILIZATION
from tests.unit.recording import record
from tests.unit.serving.crds import assert_valid

L4_NODES = {"node_selector": {"gpu": "l4"}, "tolerations": [{"key": "nvidia.com/gpu"}]}
A100_NODES = {
    "node_selector": {"gpu": "a100", "rack": "7"},
    "tolerations": [{"key": "nvidia.com/gpu"}, {"key": "batch", "effect": "NoSchedule"}],
}
EXPORTER = {"dcgm_exporter": True, "gpu_nodes": [L4_NODES, A100_NODES]}
EVERYTHING = {
    "keda": True,
    "monitoring": True,
    "leader_worker_set": True,
    "gateway_api": True,
    "cert_manager": True,
    **EXPORTER,
}
SYSTEM = {
    "node_selector": {"llm-serving.dev/system": "true"},
    "tolerations": [{"key": "components.gke.io/gke-managed-components", "effect": "NoSchedule"}],
}
REPOSITORY = Path(__file__).resolve().parents[3]
CHARTS_OF_OPERATOR = {"0.84.1": "76", "0.85.0": "77", "0.86.0": "78"}
"""Major versions of kube-prometheus-stack: its UPGRADE.md."""
RELEASE = "kubernetes:helm.sh/v3:Release"


def addons(**arguments):
    given: Any = arguments
    return record(lambda: ClusterAddons("addons", given))


def release(recording, chart):
    return recording.one(RELEASE, f"addons-{chart}")


def test_nothing_is_installed_that_is_not_asked_for():
    recording = addons()
    assert [resource.type for resource in recording] == ["llm-serving:index:ClusterAddons"]
    assert recording.output("installed") == []
    assert recording.output("prometheusUrl") == ""


@pytest.mark.parametrize(
    ("arguments", "chart", "namespace"),
    [
        ({"keda": True}, "keda", "keda"),
        ({"monitoring": True}, "monitoring", "monitoring"),
        ({"leader_worker_set": True}, "lws", "lws-system"),
        (EXPORTER, "dcgm-exporter", "dcgm-exporter"),
        ({"gateway_api": True}, "gateway-api-crds", "gateway-api"),
        ({"cert_manager": True}, "cert-manager", "cert-manager"),
    ],
)
def test_each_addon_comes_alone_in_a_namespace_of_its_own(arguments, chart, namespace):
    recording = addons(**arguments)
    installed = recording.one(RELEASE)
    assert (installed["name"], installed["namespace"]) == (chart, namespace)
    assert recording.one("Namespace")["metadata.name"] == namespace
    assert recording.depends_on(installed, recording.one("Namespace"))
    assert recording.output("installed") == [chart]


def test_every_object_is_a_child_of_the_component_and_valid():
    recording = addons(**EVERYTHING, labels={"environment": "test"})
    owner = recording.one("llm-serving:index:ClusterAddons")
    assert len(recording.children(owner)) == len(recording.resources) - 1 == 14
    for namespace in recording.all("Namespace"):
        assert namespace["metadata.labels"]["environment"] == "test"
        kubernetes_validate.validate(namespace.inputs, "1.34", strict=True)


def test_charts_are_pinned_and_a_failed_installation_is_taken_back():
    for installed in addons(**EVERYTHING).all(RELEASE):
        assert installed["version"].count(".") == 2
        assert installed["atomic"] is True
        assert installed["chart"].startswith("oci://") or installed["repositoryOpts.repo"].startswith("https://")


def test_charts_bring_the_versions_whose_definitions_tests_validate_against():
    pinned = dict(re.findall(r"^\s+(\S+) v(\S+)$", (REPOSITORY / "tools/go/crds/go.mod").read_text(), re.MULTILINE))
    recording = addons(**EVERYTHING)
    assert release(recording, "keda")["version"] == pinned["github.com/kedacore/keda/v2"]
    assert release(recording, "lws")["version"] == pinned["sigs.k8s.io/lws"]
    minor = pinned["sigs.k8s.io/gateway-api"].rpartition(".")[0]
    assert release(recording, "gateway-api-crds")["version"].rpartition(".")[0] == minor
    assert release(recording, "cert-manager")["version"] == f"v{pinned['github.com/cert-manager/cert-manager']}"
    operator = pinned["github.com/prometheus-operator/prometheus-operator"]
    assert release(recording, "monitoring")["version"].split(".")[0] == CHARTS_OF_OPERATOR[operator]


def test_keda_comes_after_the_operator_that_watches_it():
    recording = addons(**EVERYTHING)
    assert recording.depends_on(release(recording, "keda"), release(recording, "monitoring"))
    assert release(recording, "keda")["values.prometheus.operator.podMonitor.enabled"] is True
    assert release(addons(keda=True), "keda")["values.prometheus.operator.podMonitor.enabled"] is False


def test_prometheus_reads_monitors_of_every_namespace():
    spec = release(addons(monitoring=True), "monitoring")["values.prometheus.prometheusSpec"]
    for kind in ("podMonitor", "serviceMonitor", "rule", "probe"):
        assert spec[f"{kind}SelectorNilUsesHelmValues"] is False
        assert not spec.get(f"{kind}Selector")
        assert not spec.get(f"{kind}NamespaceSelector")


def test_what_prometheus_keeps_fits_its_volume_and_the_definition():
    recording = addons(monitoring=True, retention_days=30, storage_gib=100, storage_class="fast")
    spec = release(recording, "monitoring")["values.prometheus.prometheusSpec"]
    assert (spec["retention"], spec["retentionSize"]) == ("30d", "85GiB")
    claim = spec["storageSpec"]["volumeClaimTemplate"]["spec"]
    assert claim["resources"]["requests"]["storage"] == "100Gi"
    assert claim["storageClassName"] == "fast"
    fields = ("retention", "retentionSize", "scrapeInterval", "evaluationInterval", "resources", "nodeSelector",
              "tolerations")  # fmt: skip
    prometheus = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "monitoring"},
        "spec": {**{name: spec[name] for name in fields}, "storage": spec["storageSpec"]},
    }
    assert_valid(prometheus, "prometheus-operator/monitoring.coreos.com_prometheuses.yaml")


def test_the_url_is_that_of_the_prometheus_that_is_installed_or_of_the_one_that_is_there():
    assert addons(monitoring=True).output("prometheusUrl") == "http://monitoring-prometheus.monitoring.svc:9090"
    assert release(addons(monitoring=True), "monitoring")["values.fullnameOverride"] == "monitoring"
    existing = "http://prometheus.observability.svc:9090"
    assert addons(prometheus_url=existing).output("prometheusUrl") == existing


def test_alerts_go_to_the_alertmanager_that_is_named_and_to_nobody_else():
    def alertmanagers(**changes):
        values = release(addons(monitoring=True, **changes), "monitoring")["values"]
        assert values["alertmanager"] == {"enabled": False}
        return values["prometheus"]["prometheusSpec"].get("additionalAlertManagerConfigs")

    assert alertmanagers() is None
    assert alertmanagers(alertmanager_url="https://alerts.example.com/team") == [
        {"scheme": "https", "path_prefix": "/team", "static_configs": [{"targets": ["alerts.example.com"]}]}
    ]


def test_labels_of_what_kube_state_metrics_tells_about_stay():
    values = release(addons(monitoring=True), "monitoring")["values"]
    assert values["kube-state-metrics"]["prometheus"]["monitor"]["honorLabels"] is True


def test_every_workload_of_every_chart_runs_where_it_is_told_to():
    recording = addons(**EVERYTHING, **SYSTEM)
    for chart, places in {
        "keda": [""],
        "lws": [""],
        "cert-manager": ["", ".webhook", ".cainjector", ".startupapicheck"],
        "monitoring": [
            ".prometheus.prometheusSpec",
            ".prometheusOperator",
            ".prometheusOperator.admissionWebhooks.patch",
            ".kube-state-metrics",
        ],
    }.items():
        for place in places:
            values = release(recording, chart)[f"values{place}"]
            assert values["nodeSelector"] == SYSTEM["node_selector"]
            assert values["tolerations"] == [
                {"key": "components.gke.io/gke-managed-components", "operator": "Exists", "effect": "NoSchedule"}
            ]


def test_the_exporter_runs_on_the_nodes_of_every_pool_and_on_no_others():
    values = release(addons(**EVERYTHING, **SYSTEM), "dcgm-exporter")["values"]
    assert "nodeSelector" not in values
    terms = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [
        [(rule["key"], rule["operator"], *rule["values"]) for rule in term["matchExpressions"]] for term in terms
    ] == [
        [("gpu", "In", "l4")],
        [("gpu", "In", "a100"), ("rack", "In", "7")],
    ]
    assert values["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "batch", "operator": "Exists", "effect": "NoSchedule"},
    ]
    pod = {"containers": [], "affinity": values["affinity"], "tolerations": values["tolerations"]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "exporter"}, "spec": pod}
    kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_the_exporters_series_carry_the_names_of_the_pods_that_have_the_gpus():
    values = release(addons(**EVERYTHING), "dcgm-exporter")["values"]
    assert values["serviceMonitor"] == {"enabled": True, "interval": "15s", "honorLabels": True}
    assert [line.split(",")[0] for line in values["customMetrics"].splitlines()] == [DCGM_GPU_UTILIZATION]


def test_only_the_namespace_of_what_mounts_the_host_allows_it():
    levels = {
        namespace["metadata.name"]: namespace["metadata.labels"]["pod-security.kubernetes.io/enforce"]
        for namespace in addons(**EVERYTHING).all("Namespace")
    }
    assert levels.pop("dcgm-exporter") == "privileged"
    assert set(levels.values()) == {"baseline"}


@pytest.mark.parametrize("namespace", ["monitoring", "theirs"])
def test_only_prometheus_reaches_the_exporter_wherever_it_runs(namespace):
    policy = addons(**EXPORTER, monitoring_namespace=namespace).one("NetworkPolicy")
    assert policy["spec.podSelector.matchLabels"] == {"app.kubernetes.io/name": "dcgm-exporter"}
    _, clients = policy["spec.ingress"]
    assert clients["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    ]
    assert clients["ports"] == [{"protocol": "TCP", "port": 9400}]


def test_prometheus_reads_the_exporter_that_a_cloud_runs_with_the_names_of_pods():
    labels = {"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}
    exporter = {"namespace": "gke-managed-system", "pods": labels, "port": "metrics"}
    prometheus = release(addons(monitoring=True, gpu_exporter=exporter), "monitoring")["values"]["prometheus"]
    (monitor,) = prometheus["additionalPodMonitors"]
    assert monitor["podMetricsEndpoints"][0]["honorLabels"] is True
    spec = {key: value for key, value in monitor.items() if key != "name"}
    assert (spec["namespaceSelector"], spec["selector"]) == (
        {"matchNames": ["gke-managed-system"]},
        {"matchLabels": labels},
    )
    pod_monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": monitor["name"]},
        "spec": spec,
    }
    assert_valid(pod_monitor, "prometheus-operator/monitoring.coreos.com_podmonitors.yaml")
    assert "additionalPodMonitors" not in release(addons(monitoring=True), "monitoring")["values"]["prometheus"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"dcgm_exporter": True}, "gpuNodes"),
        ({"dcgm_exporter": True, "gpu_nodes": [{"node_selector": {}}]}, "gpuNodes[0].nodeSelector"),
        ({"monitoring": True, "prometheus_url": "http://there:9090"}, "prometheusUrl"),
        ({"prometheus_url": "there:9090"}, "prometheusUrl"),
        ({"alertmanager_url": "http://there:9093"}, "alertmanagerUrl"),
        ({"prometheus_url": "http://there:9090/"}, "prometheusUrl"),
        ({"storage_gib": 1}, "storageGib"),
        ({"retention_days": 0}, "retentionDays"),
        ({"grafana": True}, "grafana"),
    ],
)
def test_bad_arguments_are_refused_with_their_path(arguments, path):
    with pytest.raises(InputPropertiesError) as caught:
        addons(**arguments)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]
    assert [error["property_path"] for error in caught.value.errors or ()] == [path]
