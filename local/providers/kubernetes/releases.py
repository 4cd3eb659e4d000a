"""Helm releases (``kubernetes:helm.sh/v3:Release``), as far as they go without the chart.

A chart lies in a repository on the network, so nothing is rendered here, and the plugin says so. What is
real: the release's record, a Secret as Helm itself keeps it (``helm list`` reads it) with a readable copy
beside; the namespace, if it is to be created; and the chart's custom resource definitions, from the pinned
files of ``charts.yaml``, so that objects which need them can be applied.
"""

import base64
import datetime
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from llm_serving.errors import Problem
from local.cluster import rest
from local.cluster.crds import read as read_crds
from local.providers.kubernetes import objects
from local.providers.kubernetes.sdk import sdk
from local.providers.kubernetes.waiter import Waiter
from local.providers.properties import UNKNOWN, Properties, Secret, reveal
from local.providers.schema import check as check_types

_MANAGER = "helm"
_CHARTS = Path(__file__).with_name("charts.yaml")
_DEFINITION_SECONDS = 60.0


@cache
def _charts() -> Mapping[str, Mapping[str, Any]]:
    return yaml.safe_load(_CHARTS.read_text(encoding="utf-8"))


def chart_name(chart: str) -> str:
    """``keda`` for ``keda``, ``kedacore/keda`` and ``oci://host/charts/keda``."""
    return chart.rstrip("/").rsplit("/", 1)[-1]


def definitions(chart: str) -> list[dict[str, Any]]:
    """The custom resource definitions of a chart; none where it has none that we know of."""
    entry = _charts().get(chart_name(chart))
    return [] if entry is None or "definitions" not in entry else read_crds(entry["definitions"])


def stays(chart: str) -> bool:
    """The chart's definitions outlive its release."""
    return bool((_charts().get(chart_name(chart)) or {}).get("stay", True))


def check(
    inputs: Properties, olds: Properties | None, name: str, seed: bytes, namespace: str
) -> tuple[Properties, list[Problem], list[str]]:
    """Inputs with name and namespace filled in, problems and warnings."""
    known = sdk().resource("kubernetes:helm.sh/v3:Release")
    problems, warnings = check_types(known.inputs, inputs) if known else ([], [])
    filled: Properties = dict(inputs)
    if filled.get("name") is None:
        before = (olds or {}).get("name")
        filled["name"] = before if isinstance(before, str) else objects.autonamed(name, seed, "")
    if filled.get("namespace") is None:
        filled["namespace"] = namespace or "default"
    return filled, problems, warnings


def install(client: rest.Kubernetes, waiter: Waiter, inputs: Properties, revision: int) -> Properties:
    """Write the record of a release, after its namespace and definitions.

    Raises:
        ApiError: the API server refuses.
        NotReadyError: a definition is not established.
    """
    values = reveal(inputs)
    if values.get("createNamespace"):
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": values["namespace"]}}
        if client.find("v1", "Namespace", values["namespace"]) is None:
            client.create(space)
    if not values.get("skipCrds"):
        wanted = definitions(values["chart"])
        applied = [client.apply(definition, force=True, manager=_MANAGER) for definition in wanted]
        for definition in applied:
            waiter.until_ready(definition, _DEFINITION_SECONDS)
        client.forget()
    client.apply(record(values, revision), force=True, manager=_MANAGER)
    if revision > 1:
        client.delete(record(values, revision - 1))
    return outputs(inputs, revision)


def remove(client: rest.Kubernetes, waiter: Waiter, inputs: Properties, revision: int, seconds: float) -> None:
    """Remove the record, and the definitions that do not outlive it.

    Raises:
        StillThereError: a definition is still there, for objects of it have finalizers.
    """
    values = reveal(inputs)
    if not values.get("skipCrds") and not stays(values["chart"]):
        installed = [
            live
            for definition in definitions(values["chart"])
            if (live := client.find(definition["apiVersion"], definition["kind"], definition["metadata"]["name"]))
        ]
        for definition in installed:
            client.delete(definition)
        for definition in installed:
            waiter.until_gone(definition, seconds)
    client.delete(record(values, revision))


def record(values: Mapping[str, Any], revision: int) -> dict[str, Any]:
    """The Secret that keeps a release: https://helm.sh/docs/topics/advanced/#storage-backends."""
    release = {
        "name": values["name"],
        "namespace": values["namespace"],
        "version": revision,
        "info": {
            "status": "deployed",
            "description": values.get("description") or "recorded; the chart was not rendered",
            "last_deployed": datetime.datetime.now(datetime.UTC).isoformat(),
        },
        "chart": {"metadata": {"name": chart_name(values["chart"]), "version": values.get("version") or ""}},
        "config": values.get("values") or {},
        "manifest": "",
    }
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode())).decode()
    readable = {
        "chart": values["chart"],
        "version": values.get("version"),
        "repository": (values.get("repositoryOpts") or {}).get("repo"),
        "values": values.get("values") or {},
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{values['name']}.v{revision}",
            "namespace": values["namespace"],
            "labels": {"owner": "helm", "name": values["name"], "status": "deployed", "version": str(revision)},
        },
        "stringData": {"release": packed, "release.json": json.dumps(readable, indent=1, sort_keys=True)},
    }


def outputs(inputs: Properties, revision: Any) -> Properties:
    """What a release's record gives back; the values may hold passwords and stay secret where they were."""
    values = reveal(inputs)
    return {
        **inputs,
        "resourceNames": {},
        "checksum": hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest(),
        "manifest": Secret({}),
        "status": {
            "appVersion": "",
            "chart": chart_name(str(values["chart"])),
            "name": values["name"],
            "namespace": values["namespace"],
            "revision": revision,
            "status": UNKNOWN if revision is UNKNOWN else "deployed",
            "version": values.get("version") or "",
        },
    }


def revision_of(outputs: Properties) -> int:
    """The revision in a release's outputs."""
    status = reveal(outputs.get("status")) or {}
    return int(status.get("revision") or 1)


def not_rendered(values: Mapping[str, Any], runs: bool = False) -> str:
    """What to tell the user; ``runs``: its controller runs all the same, as a program."""
    count = len(definitions(str(values["chart"])))
    with_it = f"its {count} custom resource definitions were installed and " if count else ""
    workloads = "its controller runs beside the control plane" if runs else "its workloads do not run here"
    return (
        f"chart {values['chart']} was not rendered, because charts cannot be fetched for the local clouds: "
        f"{with_it}the release was recorded; {workloads}"
    )
