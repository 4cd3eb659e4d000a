"""Node pools: from the program's words to nodes in the local cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_serving.errors import Problem
from local.cluster import ClusterError, LocalCluster
from local.providers.gcp import gke, locations
from local.providers.gcp.cloud import Cloud, GoogleError
from local.providers.gcp.kinds import Kind
from local.providers.gcp.nodes import PoolShape, check_accelerators, initial_size, node_config, sizes
from local.providers.gcp.quotas import refuse_excess
from local.providers.gcp.types import iam_domain
from local.providers.properties import UNKNOWN, Properties
from local.providers.provider import CloudError
from local.providers.store import Record

CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
_WAIT = 300.0
_SHUTDOWN, _SHUTDOWN_CRITICAL = "shutdownGracePeriodSeconds", "shutdownGracePeriodCriticalPodsSeconds"
_SHUTDOWNS = (0, 30, 120)
_SHUTDOWN_VERSION = "1.35.0-gke.1171000"
"""GKE documentation, "Spot VMs": the oldest control plane on which their shutdown takes longer."""


class NodePoolKind(Kind):
    """A node pool of its own, apart from the cluster."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Sizes that contradict each other."""
        return check_sizes(inputs, "")

    def refuse_create(self, id: str, known: Properties) -> None:
        """Machines that are not there, GPUs that do not fit them, quota, accounts."""
        self._refuse(id, known)

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Make the nodes that the pool starts with, and wait until they are ready."""
        cluster = self._cluster(known)
        shape = self._shape(known, cluster, self._tainted(known, cluster))
        return self._realize(id, known, cluster, shape, timeout)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """GKE decides about the GPU taint when a pool is made, and never again."""
        self._refuse(id, known)
        cluster = self._cluster(known)
        had = (outputs.get("nodeConfig") or {}).get("effectiveTaints") or []
        shape = self._shape(known, cluster, tainted=any(taint["key"] == "nvidia.com/gpu" for taint in had))
        return self._realize(id, known, cluster, shape, timeout)

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """Drain the nodes; a pool of a cluster that is gone is gone too."""
        local = LocalCluster(directory_of(self.cloud, outputs))
        if not local.exists():
            return
        try:
            local.delete_pool(str(outputs["name"]), timeout or _WAIT)
        except ClusterError as error:
            raise CloudError(f"error on deletion of node pool {id}: {error}") from None

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """A pool whose cluster or record in the cluster is gone does not exist."""
        local = LocalCluster(directory_of(self.cloud, outputs))
        if not local.exists() or outputs["name"] not in {pool.name for pool in local.pools()}:
            return None
        return outputs

    def _realize(self, id: str, known: Properties, cluster: Record, shape: PoolShape, timeout: float) -> Properties:
        local = LocalCluster(directory_of(self.cloud, known))
        try:
            local.start()
            local.put_pool(shape.node_pool())
            local.wait_pool(shape.name, timeout or _WAIT)
        except ClusterError as error:
            raise CloudError(
                f"error on creation of node pool {id}: timeout while waiting for its nodes: {error}"
            ) from None
        return self._outputs(known, cluster, shape)

    def _outputs(self, known: Properties, cluster: Record, shape: PoolShape) -> Properties:
        per_zone = -(-shape.min // len(shape.zones))
        config = {
            **shape.config,
            "effectiveTaints": shape.taints(),
            "labels": dict(shape.config.get("labels") or {}),
        }
        return {
            "cluster": str(known["cluster"]).rpartition("/")[2],
            "nodeConfig": config,
            "nodeCount": known.get("nodeCount", per_zone),
            "initialNodeCount": known.get("initialNodeCount", per_zone),
            "nodeLocations": list(shape.zones),
            "maxPodsPerNode": shape.max_pods,
            "version": known.get("version") or cluster.outputs["nodeVersion"],
            "management": {"autoRepair": True, "autoUpgrade": True, **(known.get("management") or {})},
            "upgradeSettings": {
                "strategy": "SURGE",
                "maxSurge": 1,
                "maxUnavailable": 0,
                **(known.get("upgradeSettings") or {}),
            },
            "instanceGroupUrls": shape.group_urls("instanceGroupManagers"),
            "managedInstanceGroupUrls": shape.group_urls("instanceGroups"),
            "operation": "",
        }

    def _cluster(self, known: Mapping[str, Any]) -> Record:
        id = (
            f"projects/{known['project']}/locations/{known['location']}/clusters/"
            + (str(known["cluster"]).rpartition("/")[2])
        )
        record = self.cloud.look_up(CLUSTER, id)
        if record is None:
            raise GoogleError(404, f"Not found: {id}", "notFound")
        return record

    def _refuse(self, id: str, known: Properties) -> None:
        cluster = self._cluster(known)
        shape = self._shape(known, cluster, tainted=False)
        check_accelerators(shape.config, shape.machine)
        refuse_early_shutdown(shape.config, str(cluster.outputs["masterVersion"]))
        refuse_unknown_account(self.cloud, shape.config, known["project"])
        refuse_excess(self.cloud, id, known["project"], known["location"], shape.machine.name, shape.market, shape.min)

    def _tainted(self, known: Mapping[str, Any], cluster: Record) -> bool:
        """GKE taints GPU nodes only in clusters that have a pool without GPUs:
        terraform-google-modules/terraform-google-kubernetes-engine#703."""
        local = LocalCluster(directory_of(self.cloud, known))
        return any("nvidia.com/gpu" not in pool.capacity for pool in local.pools() if pool.name != known["name"])

    def _shape(self, known: Mapping[str, Any], cluster: Record, tainted: bool) -> PoolShape:
        parent = cluster.outputs
        own = [known["location"]] if locations.is_zone(known["location"]) else []
        zones = tuple(known.get("nodeLocations") or [*own, *parent["nodeLocations"]])
        smallest, largest = sizes(known, len(zones))
        return PoolShape(
            cluster=str(parent["name"]),
            project=str(known["project"]),
            name=str(known["name"]),
            config=node_config(known.get("nodeConfig")),
            zones=zones,
            min=smallest,
            max=largest,
            max_pods=int(known.get("maxPodsPerNode") or parent.get("defaultMaxPodsPerNode") or 110),
            streams_images=_streams_images(parent),
            private=bool(
                (known.get("networkConfig") or {}).get("enablePrivateNodes")
                or (parent.get("privateClusterConfig") or {}).get("enablePrivateNodes")
            ),
            tainted=tainted,
            initial=initial_size(known, len(zones)),
        )


def directory_of(cloud: Cloud, pool: Mapping[str, Any]) -> Path:
    """The folder of the control plane that a pool belongs to."""
    cluster = str(pool["cluster"]).rpartition("/")[2]
    return cloud.state_folder.cluster(str(pool["project"]), str(pool["location"]), cluster)


def check_sizes(pool: Mapping[str, Any], path: str) -> list[Problem]:
    """Rules of a pool's properties; ``path`` stands in front of theirs."""
    dot = f"{path}." if path else ""
    problems: list[Problem] = []
    scaling = pool.get("autoscaling")
    if isinstance(scaling, Mapping):
        zonal = [key for key in ("minNodeCount", "maxNodeCount") if scaling.get(key) is not None]
        total = [key for key in ("totalMinNodeCount", "totalMaxNodeCount") if scaling.get(key) is not None]
        if zonal and total:
            problems.append(
                Problem(
                    f"{dot}autoscaling.{total[0]}",
                    scaling[total[0]],
                    f"cannot be used with {zonal[0]}: limits are either per zone or for the whole pool",
                )
            )
        if not zonal and not total:
            problems.append(Problem(f"{dot}autoscaling", None, "needs limits", "maxNodeCount or totalMaxNodeCount"))
        for low, high in (("minNodeCount", "maxNodeCount"), ("totalMinNodeCount", "totalMaxNodeCount")):
            least, most = scaling.get(low, 0), scaling.get(high)
            if isinstance(least, int) and isinstance(most, int) and least > most:
                problems.append(Problem(f"{dot}autoscaling.{low}", least, f"greater than {high}, which is {most}"))
            if low in scaling and high not in scaling and scaling[low] is not UNKNOWN:
                problems.append(Problem(f"{dot}autoscaling.{high}", None, f"required where {low} is given"))
    pods = pool.get("maxPodsPerNode")
    if isinstance(pods, int) and not 8 <= pods <= 256:
        problems.append(Problem(f"{dot}maxPodsPerNode", pods, "outside of 8 to 256"))
    config = pool.get("nodeConfig")
    if isinstance(config, Mapping):
        problems += _check_config(config, f"{dot}nodeConfig")
    node_locations = pool.get("nodeLocations")
    location = pool.get("location")
    if isinstance(node_locations, list) and isinstance(location, str):
        problems += [
            Problem(
                f"{dot}nodeLocations[{index}]",
                zone,
                f"not a zone of {locations.region_of(location)}",
                ", ".join(locations.zones(locations.region_of(location))),
            )
            for index, zone in enumerate(node_locations)
            if isinstance(zone, str) and zone not in locations.zones(locations.region_of(location))
        ]
    return problems


def _check_config(config: Mapping[str, Any], path: str) -> list[Problem]:
    problems: list[Problem] = []
    disk = config.get("diskSizeGb")
    if isinstance(disk, int) and disk < 10:
        problems.append(Problem(f"{path}.diskSizeGb", disk, "less than 10"))
    if config.get("spot") is True and config.get("preemptible") is True:
        problems.append(Problem(f"{path}.preemptible", True, "cannot be used with spot"))
    if config.get("spot") is True and config.get("flexStart") is True:
        problems.append(Problem(f"{path}.flexStart", True, "cannot be used with spot"))
    problems += _check_shutdown(config, f"{path}.kubeletConfig")
    seen: set[tuple[Any, Any]] = set()
    taints = config.get("taints")
    for index, taint in enumerate(taints if isinstance(taints, list) else ()):
        if isinstance(taint, Mapping):
            pair = (taint.get("key"), taint.get("effect"))
            if pair in seen:
                problems.append(Problem(f"{path}.taints[{index}]", pair[0], "given twice with the same effect"))
            seen.add(pair)
    return problems


def _check_shutdown(config: Mapping[str, Any], path: str) -> list[Problem]:
    """GKE documentation, "Customizing node system configuration", graceful termination of Spot VMs."""
    kubelet = config.get("kubeletConfig")
    if not isinstance(kubelet, Mapping):
        return []
    total, critical = kubelet.get(_SHUTDOWN), kubelet.get(_SHUTDOWN_CRITICAL)
    problems: list[Problem] = []
    if isinstance(total, int | float) and total not in _SHUTDOWNS:
        known = ", ".join(map(str, _SHUTDOWNS))
        problems.append(Problem(f"{path}.{_SHUTDOWN}", total, "not one of the values that are known", known))
    if isinstance(critical, int | float) and total is None:
        problems.append(Problem(f"{path}.{_SHUTDOWN_CRITICAL}", critical, f"needs {_SHUTDOWN}"))
    if isinstance(critical, int | float) and isinstance(total, int | float) and total and critical >= total:
        reason = f"not less than {_SHUTDOWN}, which is {total:g}"
        problems.append(Problem(f"{path}.{_SHUTDOWN_CRITICAL}", critical, reason))
    if total is not None and all(config.get(market) in (None, False) for market in ("spot", "preemptible")):
        problems.append(Problem(f"{path}.{_SHUTDOWN}", total, "can only be used with Spot VMs"))
    return problems


def refuse_early_shutdown(config: Mapping[str, Any], master_version: str) -> None:
    """Refuse a shutdown grace period where the control plane does not know it yet.

    Raises:
        GoogleError: 400, as GKE answers.
    """
    if (config.get("kubeletConfig") or {}).get(_SHUTDOWN) is None:
        return
    if gke.release(master_version) < gke.release(_SHUTDOWN_VERSION):
        raise GoogleError(
            400,
            f"Graceful node shutdown of Spot VMs needs version {_SHUTDOWN_VERSION} or later; the cluster has "
            f"{master_version}",
            "badRequest",
        )


def refuse_unknown_account(cloud: Cloud, config: Mapping[str, Any], project: str) -> None:
    """Refuse nodes whose service account does not exist.

    Raises:
        GoogleError: 400, as GKE answers.
    """
    email = str(config.get("serviceAccount") or "default")
    if not email.endswith(f"@{iam_domain(project)}.iam.gserviceaccount.com"):
        return  # the default account, or one of another project
    if cloud.look_up("gcp:serviceaccount/account:Account", email) is None:
        raise GoogleError(400, f'Service account "{email}" does not exist', "badRequest")


def _streams_images(cluster: Mapping[str, Any]) -> bool:
    defaults = ((cluster.get("nodePoolDefaults") or {}).get("nodeConfigDefaults") or {}).get("gcfsConfig")
    return bool((defaults or {}).get("enabled"))
