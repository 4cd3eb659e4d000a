"""KWOK's stages for a cluster: as KWOK ships them, but a pod becomes ready only once it may start."""

from typing import Any

import yaml

from local.cluster.errors import ClusterError
from local.cluster.layout import Layout, shipped_stages
from local.cluster.pod_startup import MAY_START
from stacks.files import write_atomically

_READY = "pod-ready"
"""The stage in which a pending pod becomes ready."""


def write_stages(layout: Layout) -> None:
    """Write the stages of a cluster.

    Raises:
        ClusterError: KWOK's own are missing, or have no stage in which pods become ready.
    """
    path = shipped_stages()
    stages: list[dict[str, Any]] = [stage for stage in yaml.safe_load_all(path.read_text(encoding="utf-8")) if stage]
    ready = [stage for stage in stages if stage["metadata"]["name"] == _READY]
    if not ready:
        raise ClusterError(f"{path} has no stage {_READY}: run `make setup`, which fetches KWOK's stages")
    may_start = f'.status.conditions.[] | select( .type == "{MAY_START}" ) | .status'
    for stage in ready:
        stage["spec"]["selector"]["matchExpressions"].append({"key": may_start, "operator": "In", "values": ["True"]})
    write_atomically(layout.kwok_stages, yaml.safe_dump_all(stages, sort_keys=False))
