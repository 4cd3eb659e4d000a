"""Bringing autoscaling up: what its programs read, what must be in the API server before they start, and when they
are of use.
"""

import socket
import time
from pathlib import Path
from typing import Any

from local.cluster import certificates, rest
from local.cluster.autoscaling import programs
from local.cluster.autoscaling.objects import METRICS_GROUP, METRICS_VERSION, objects
from local.cluster.autoscaling.options import KUBE_STATE_METRICS, PODS, AutoscalingOptions
from local.cluster.errors import ClusterError, with_log
from local.cluster.files import write_json
from local.cluster.layout import Facts, Layout

READY_SECONDS = 120.0
"""How long KEDA may take once its programs run: seconds on an idle machine. The API server asks anew for the metrics
API every now and then only."""


def prepare(layout: Layout, facts: Facts) -> Facts:
    """Write what the programs read, and return the facts with their ports.

    Raises:
        ClusterError: a program is missing.
    """
    options = facts.autoscaling
    assert options is not None
    programs.check()
    if facts.node is not None:  # a network namespace of the cluster's own: nothing to choose
        facts = facts.with_ports({**facts.ports, **programs.FIXED_PORTS})
        facts.write(layout)
    layout.autoscaling_ready.unlink(missing_ok=True)
    layout.prometheus_targets.unlink(missing_ok=True)  # pods of before, whose addresses others may have now
    certificates.make_keda(layout.certificates, layout.keda_certificates)
    write_json(layout.prometheus_rules, {"groups": list(options.rules)})
    target = f"{facts.api_address}:{facts.ports['kube-state-metrics']}"
    configuration = prometheus_configuration(options, target, layout.prometheus_rules, layout.prometheus_targets)
    write_json(layout.prometheus_configuration, configuration)
    return facts


def prometheus_configuration(
    options: AutoscalingOptions, kube_state_metrics: str, rules: Path, targets: Path
) -> dict[str, Any]:
    """Prometheus' configuration (JSON is YAML).

    Args:
        options: what to scrape, and how often.
        kube_state_metrics: its address, ``host:port``.
        rules: file of the rule groups.
        targets: the file of the pods, for jobs that scrape those of the cluster.
    """
    often = f"{options.scrape_seconds}s"
    return {
        "global": {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": often},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": KUBE_STATE_METRICS,
                # Its series carry namespace, pod and container of the object that they describe.
                "honor_labels": True,
                "static_configs": [{"targets": [kube_state_metrics]}],
            },
            *(_by_file(job, targets) for job in options.scrape),
        ],
    }


def _by_file(job: dict[str, Any], targets: Path) -> dict[str, Any]:
    """The same job with the file in the place of Prometheus' own discovery, which not every build has."""
    if PODS not in job.get("kubernetes_sd_configs", []):
        return job
    rest_of_it = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    return {**rest_of_it, "file_sd_configs": [{"files": [str(targets)]}]}


def put_objects(layout: Layout, facts: Facts, client: rest.Kubernetes) -> None:
    """Apply what KEDA must find when it starts; the definitions are served already. Lets its programs start."""
    client.apply_all(objects(layout, facts))
    layout.autoscaling_ready.touch()


def wait(layout: Layout, facts: Facts, client: rest.Kubernetes) -> None:
    """Wait until the API server gets metrics from KEDA and its webhook listens.

    Raises:
        ClusterError: one of them does not come; names its log.
    """
    end = time.monotonic() + READY_SECONDS
    while (missing := _missing(facts, client)) is not None:
        if time.monotonic() > end:
            name, what = missing
            message = f"autoscaling of {layout.root} is not ready after {READY_SECONDS:g} s: {what}"
            raise ClusterError(with_log(message, layout.log(name)))
        time.sleep(0.2)


def _missing(facts: Facts, client: rest.Kubernetes) -> tuple[str, str] | None:
    """The program that is waited for, and what of it."""
    try:
        # Asked itself: the status of the APIService may tell how it was before the cluster stopped.
        client.request("GET", f"/apis/{METRICS_GROUP}/{METRICS_VERSION}")
    except (rest.ApiError, rest.UnreachableError) as error:
        return programs.ADAPTER, f"the metrics API is not served: {error}"
    port = facts.ports["keda-webhooks"]
    try:
        # It listens on all addresses; on a node's link the machine reaches it too.
        socket.create_connection((facts.api_address, port), timeout=1.0).close()
    except OSError as error:
        return programs.WEBHOOKS, f"port {port} does not answer: {error}"
    return None
