"""Finds what Prometheus scrapes: the ports that containers of pods name, in a file that Prometheus reads again whenever
it changes.

Targets and labels are those of Prometheus' own discovery of pods
(https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod), as far as anybody here relabels by
them: distributions build Prometheus without it (Debian's does not know ``kubernetes_sd_configs``).

    python -m local.cluster.autoscaling.discovery DIRECTORY
"""

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local.cluster import identities, rest
from local.cluster.controller_runtime import ChangeSignal, Informer, log_to_stdout
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from stacks.files import write_atomically

_META = "__meta_kubernetes_"
_GATHER_SECONDS = 0.2
"""Seconds in which changes are gathered: a rollout is many of them."""


def targets(pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The targets of the pods that have an address, by name."""
    ports = [target for pod in pods if pod.get("status", {}).get("podIP") for target in _ports(pod)]
    return sorted(ports, key=lambda target: (target["labels"][f"{_META}namespace"], target["targets"]))


def _ports(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    meta, status = pod["metadata"], pod["status"]
    labels = {
        f"{_META}namespace": meta.get("namespace", ""),
        f"{_META}pod_name": meta["name"],
        f"{_META}pod_phase": status.get("phase", ""),
        f"{_META}pod_ip": status["podIP"],
        f"{_META}pod_node_name": pod["spec"].get("nodeName", ""),
        **{f"{_META}pod_label_{_word(key)}": value for key, value in meta.get("labels", {}).items()},
    }
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            yield {
                "targets": [f"{status['podIP']}:{port['containerPort']}"],
                "labels": {
                    **labels,
                    f"{_META}pod_container_name": container["name"],
                    f"{_META}pod_container_port_name": port.get("name", ""),
                },
            }


def _word(label: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def follow(client: rest.Kubernetes, file: Path) -> None:
    """Keep the file as the pods are, for ever.

    Raises:
        ClusterError: the API server refuses.
    """
    signal, written = ChangeSignal(_GATHER_SECONDS), ""
    informer = Informer(client, "v1", "Pod", signal).start()
    while True:
        signal.wait()
        pods = informer.objects()
        text = json.dumps(targets(pods or []), indent=1)
        if pods is not None and text != written:
            write_atomically(file, text, mode=0o644)
            written = text


def main(arguments: list[str]) -> int:
    """Work until a signal ends the process."""
    log_to_stdout()
    layout = Layout(Path(arguments[0]))
    with contextlib.closing(identities.connect(layout, identities.PROMETHEUS)) as client:
        try:
            follow(client, layout.prometheus_targets)
        except ClusterError as error:
            print(f"pods are not found for Prometheus: {error}", file=sys.stderr, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
