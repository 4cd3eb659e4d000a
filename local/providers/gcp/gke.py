"""What GKE puts into a new cluster: definitions of its own resources, storage classes, gateway classes,
namespaces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from local.cluster import LocalCluster
from local.providers.gcp import locations

CRDS = locations.DATA.parent / "crds"
ADMISSION_PLUGINS = ("ExtendedResourceToleration",)
"""GKE lets pods that ask for GPUs tolerate the GPU taint by themselves:
https://cloud.google.com/kubernetes-engine/docs/how-to/gpus."""

INFERENCE_FROM = (1, 34, 0, 1626000)
"""From this version on GKE brings InferencePool:
https://cloud.google.com/kubernetes-engine/docs/how-to/deploy-gke-inference-gateway.
"""


@dataclass(frozen=True)
class Equipment:
    """What a cluster with certain settings has.

    Attributes:
        crds: folders of definitions that others publish.
        definitions: files of definitions in ``crds/`` beside this module.
        groups: groups of objects in ``data/gke-objects.yaml``.
        workload_pool: the identity pool that the storage driver asks tokens for.
    """

    crds: tuple[str, ...]
    definitions: tuple[str, ...]
    groups: tuple[str, ...]
    workload_pool: str

    @classmethod
    def of(cls, known: Mapping[str, Any], version: str) -> "Equipment":
        """What GKE brings along for these settings."""
        gateway = (known.get("gatewayApiConfig") or {}).get("channel", "CHANNEL_DISABLED") != "CHANNEL_DISABLED"
        inference = gateway and release(version) >= INFERENCE_FROM
        prometheus = (known.get("monitoringConfig") or {}).get("managedPrometheus")
        optional = {
            "gcs_fuse": _enabled((known.get("addonsConfig") or {}).get("gcsFuseCsiDriverConfig")),
            "managed_prometheus": _enabled(prometheus, default=True),
            "gateway": gateway,
        }
        return cls(
            crds=tuple(name for name, on in (("gateway-api", gateway), ("inference-extension", inference)) if on),
            definitions=("computeclass.yaml", *(("gke-gateway-policies.yaml",) if gateway else ())),
            groups=("always", "storage", *(name for name, on in optional.items() if on), "compute_classes"),
            workload_pool=(known.get("workloadIdentityConfig") or {}).get("workloadPool")
            or f"{known['project']}.svc.id.goog",
        )

    def install(self, cluster: LocalCluster) -> None:
        """Put it into a cluster; what is there already is brought up to date."""
        if self.crds:
            cluster.install_crds(*self.crds)
        cluster.apply(
            thing
            for file in self.definitions
            for thing in yaml.safe_load_all((CRDS / file).read_text(encoding="utf-8"))
        )
        objects = (locations.DATA / "gke-objects.yaml").read_text(encoding="utf-8")
        groups = yaml.safe_load(objects.replace("{workload_pool}", self.workload_pool))
        cluster.apply(thing for group in self.groups for thing in groups[group])


def release(version: str) -> tuple[int, ...]:
    """A GKE version in order: ``1.34.1-gke.3355000`` as (1, 34, 1, 3355000)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _enabled(config: Any, *, default: bool = False) -> bool:
    return bool(config.get("enabled", default)) if isinstance(config, Mapping) else default
