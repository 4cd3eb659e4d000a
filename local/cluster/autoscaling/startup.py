"""Bringing autoscaling up: what its programs read, what must be in the API server before they start, and when they
are of use.
"""

import socket
import time
from pathlib import Path
from typing import Any

from local.cluster import certificates, rest
from local.cluster.autoscaling import programs
from local.cluster.autoscaling.keda_objects import METRICS_GROUP, METRICS_VERSION, objects
from local.cluster.config import KUBE_STATE_METRICS, PODS, AutoscalingOptions, ClusterConfig
from local.cluster.errors import ClusterError, with_log
from local.cluster.layout import Layout
from stacks.files import write_json

READY_SECONDS = 120.0
"""How long KEDA may take once its programs run: seconds on an idle machine. The API server asks anew for the metrics
API every now and then only."""


def prepare(layout: Layout, config: ClusterConfig) -> ClusterConfig:
    """Write what the programs read, and return the configuration with their ports.

    Raises:
        ClusterError: a program is missing.
    """
    options = config.autoscaling
    assert options is not None
    programs.check()
    if config.node is not None:  # a network namespace of the cluster's own: nothing to choose
        config = config.with_ports({**config.ports, **programs.FIXED_PORTS})
        config.write(layout)
    layout.prometheus_targets.unlink(missing_ok=True)  # pods of before, whose addresses others may have now
    certificates.make_keda(layout.certificates, layout.keda_certificates)
    write_json(layout.prometheus_rules, {"groups": list(options.rules)})
    target = f"{config.api_address}:{config.ports['kube-state-metrics']}"
    configuration = prometheus_configuration(options, target, layout.prometheus_rules, layout.prometheus_targets)
    write_json(layout.prometheus_configuration, configuration)
    return config


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
    interval = f"{options.scrape_seconds}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": KUBE_STATE_METRICS,
                # Its series carry namespace, pod and container of the object that they describe.
                "honor_labels": True,
                "static_configs": [{"targets": [kube_state_metrics]}],
            },
            *(_with_file_discovery(job, targets) for job in options.scrape),
        ],
    }


def _with_file_discovery(job: dict[str, Any], targets: Path) -> dict[str, Any]:
    """The same job with the file in the place of Prometheus' own discovery, which not every build has."""
    if PODS not in job.get("kubernetes_sd_configs", []):
        return job
    without_discovery = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    return {**without_discovery, "file_sd_configs": [{"files": [str(targets)]}]}


def put_objects(layout: Layout, config: ClusterConfig, client: rest.Kubernetes) -> None:
    """Apply what KEDA must find when it starts; the definitions are served already."""
    client.apply_all(objects(layout, config))


def wait(layout: Layout, config: ClusterConfig, client: rest.Kubernetes) -> None:
    """Wait until the API server gets metrics from KEDA and its webhook listens.

    Raises:
        ClusterError: one of them does not come; names its log.
    """
    end = time.monotonic() + READY_SECONDS
    while (missing := _missing(config, client)) is not None:
        if time.monotonic() > end:
            name, what = missing
            message = f"autoscaling of {layout.root} is not ready after {READY_SECONDS:g} s: {what}"
            raise ClusterError(with_log(message, layout.log(name)))
        time.sleep(0.2)


def _missing(config: ClusterConfig, client: rest.Kubernetes) -> tuple[str, str] | None:
    """The program that is waited for, and what of it."""
    try:
        # Asked itself: the status of the APIService may tell how it was before the cluster stopped.
        client.request("GET", f"/apis/{METRICS_GROUP}/{METRICS_VERSION}")
    except (rest.ApiError, rest.UnreachableError) as error:
        return programs.ADAPTER, f"the metrics API is not served: {error}"
    port = config.ports["keda-webhooks"]
    try:
        # It listens on all addresses; on a node's link the machine reaches it too.
        socket.create_connection((config.api_address, port), timeout=1.0).close()
    except OSError as error:
        return programs.WEBHOOKS, f"port {port} does not answer: {error}"
    return None
