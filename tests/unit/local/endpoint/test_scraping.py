"""Prometheus on the node scrapes what the operator would scrape by our PodMonitor."""

import re

from llm_serving.contract import LABEL_MODEL, LABEL_POOL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.serving.monitoring import pod_monitor
from local.endpoint.scraping import scrape_configurations

ENGINE = {
    "__meta_kubernetes_namespace": "chat",
    "__meta_kubernetes_pod_name": "tiny-1-0-0-abc",
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_pod_container_name": "engine",
    "__meta_kubernetes_pod_container_port_name": "http",
    "__meta_kubernetes_pod_label_app_kubernetes_io_component": "engine",
    **{
        f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9]', '_', label)}": value
        for label, value in {
            LABEL_MODEL: "tiny",
            LABEL_RELEASE: "1.0.0",
            LABEL_TEAM: "chat",
            LABEL_POOL: "l4",
        }.items()
    },
}


def relabelled(job, target):
    """A target's labels after the rules of a job, as Prometheus applies them; ``None`` where it is dropped."""
    labels = {}
    for rule in job["relabel_configs"]:
        value = ";".join(target.get(source, "") for source in rule["source_labels"])
        fits = re.fullmatch(rule.get("regex", "(.*)"), value)
        if rule["action"] == ("drop" if fits else "keep"):
            return None
        if rule["action"] == "replace":
            labels[rule["target_label"]] = value
    return labels


def test_each_port_of_the_monitor_is_a_job():
    ports = [endpoint["port"] for endpoint in pod_monitor("any")["spec"]["podMetricsEndpoints"]]
    jobs = {job["job_name"]: job for job in scrape_configurations()}
    assert list(jobs) == [f"engines-{port}" for port in ports]
    for port in ports:
        target = {**ENGINE, "__meta_kubernetes_pod_container_port_name": port}
        assert [name for name, job in jobs.items() if relabelled(job, target)] == [f"engines-{port}"]


def test_an_engines_series_carry_what_the_monitor_copies_and_what_the_operator_adds():
    job = scrape_configurations()[0]
    port = pod_monitor("any")["spec"]["podMetricsEndpoints"][0]["port"]
    assert relabelled(job, {**ENGINE, "__meta_kubernetes_pod_container_port_name": port}) == {
        "namespace": "chat",
        "pod": "tiny-1-0-0-abc",
        "container": "engine",
        "model": "tiny",
        "release": "1.0.0",
        "team": "chat",
        "pool": "l4",
    }


def test_pods_that_are_no_engine_or_have_ended_are_left_out():
    job = scrape_configurations()[0]
    port = pod_monitor("any")["spec"]["podMetricsEndpoints"][0]["port"]
    engine = {**ENGINE, "__meta_kubernetes_pod_container_port_name": port}
    assert relabelled(job, {**engine, "__meta_kubernetes_pod_label_app_kubernetes_io_component": "loader"}) is None
    assert relabelled(job, {**engine, "__meta_kubernetes_pod_phase": "Succeeded"}) is None
