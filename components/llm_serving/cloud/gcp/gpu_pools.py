"""A pool of GPU nodes: one GKE node pool for each entry of its capacity, under one compute class.

Owns the node pools and the ComputeClass that says in which order GKE fills them. Leaves alone the cluster, the GPU
taint (GKE adds it; a second one makes updates fail: pulumi-gcp#1139) and the drivers' version (GKE installs them).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes
from pydantic import Field

from llm_serving import catalog
from llm_serving.catalog import MachineType
from llm_serving.cloud.bounded_names import digest
from llm_serving.cloud.checks import obey_rules
from llm_serving.cloud.gcp.arguments import PoolArgs
from llm_serving.cloud.gcp.boot_disks import boot_disk_type
from llm_serving.cloud.gcp.markets import TERMS, purchase, spot_shutdown
from llm_serving.cloud.gcp.names import COMPUTE_CLASS_LABEL
from llm_serving.cloud.gcp.nodes import GROWS_BY_ITSELF, NODE_POOL_TIMEOUTS, node_config
from llm_serving.cloud.gcp.scheduling import pool_scheduling
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import LABEL_MARKET, LABEL_POOL
from llm_serving.planning.clouds import GCP
from llm_serving.planning.clouds.gcp import initial_nodes_per_zone
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.planning.rules.zones import zones_of_entry
from llm_serving.spec import CapacityEntry, Market, SharingSpec, SharingStrategy
from llm_serving.spec.gcp import GcpPoolSpec, ProjectId, Region


class GcpGpuPoolArgs(TypedDict):
    """Arguments of GcpGpuPool."""

    project: str
    """Id of the project."""
    region: str
    """Region of the cluster."""
    location: pulumi.Input[str]
    """Region or zone of the control plane."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster; it must depend on the system pool, as GcpCluster's does."""
    node_service_account: pulumi.Input[str]
    """Email of the nodes' service account."""
    zones: list[str]
    """Zones of the cluster."""
    pool: PoolArgs
    """The pool."""
    max_pods_per_node: NotRequired[int]
    """Decides the size of each node's block of pod addresses."""
    labels: NotRequired[dict[str, str]]
    """Labels of the machines; on the bill as well."""


class GcpGpuPoolInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    region: Region
    location: Any
    cluster_name: Any
    node_service_account: Any
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    pool: GcpPoolSpec
    max_pods_per_node: Annotated[int, Field(ge=8, le=256)] = 32
    labels: dict[str, str] = {}


@dataclass(frozen=True)
class PlannedNodePool:
    """What is decided about the node pool of one capacity entry.

    Attributes:
        name: market and a hash of everything that cannot change in place. Another machine is another name, so that the
            new pool comes before the old one goes; reordering the capacity changes nothing.
        zones: zones of the nodes.
        initial_nodes: nodes of each zone on the first day. What is missing to the minimum comes when pods ask for it:
            the autoscaler heeds the minimum when it removes nodes only (terraform-google-kubernetes-engine#1517).
        local_ssd_disks: disks that back ephemeral storage; 0 for the boot disk.
    """

    name: str
    entry: CapacityEntry
    machine: MachineType
    zones: tuple[str, ...]
    initial_nodes: int
    local_ssd_disks: int


class GcpGpuPool(pulumi.ComponentResource):
    """GPU nodes that come and go in the pool's order of preference."""

    node_pool_names: pulumi.Output[list[str]]
    """Names of the node pools, most preferred first."""
    scheduling: pulumi.Output[dict[str, Any]]
    """How pods get onto the nodes (contract `PoolScheduling`)."""

    def __init__(self, name: str, args: GcpGpuPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpGpuPoolInputs, args, "GcpGpuPool", name)
        obey_rules(
            "GcpGpuPool",
            name,
            {"pools[0]": "pool", "cluster.zones": "zones"},
            cloud=GCP,
            region=inputs.region,
            zones=inputs.zones,
            max_pods_per_node=inputs.max_pods_per_node,
            gcp=GcpShape(pools=(inputs.pool,)),
            pools=(inputs.pool,),
        )
        super().__init__(token("GcpGpuPool"), name, None, opts)

        planned = plan_node_pools(inputs.pool, inputs.zones, inputs.max_pods_per_node)
        pools = [self._node_pool(name, inputs, node_pool) for node_pool in planned]
        compute_class = self._compute_class(name, inputs.pool, pools)

        scheduling = pool_scheduling(inputs.pool, inputs.max_pods_per_node).to_data()
        # The SDK does not declare the outputs of a custom resource; this one is known in a preview already.
        created = cast("pulumi.Output[Any]", vars(compute_class)["metadata"])
        ready = pulumi.Output.all(created, *[pool.name for pool in pools])
        self.node_pool_names = pulumi.Output.all(*[pool.name for pool in pools])
        self.scheduling = ready.apply(lambda _: scheduling)
        self.register_outputs({"nodePoolNames": self.node_pool_names, "scheduling": self.scheduling})

    def _node_pool(self, name: str, inputs: GcpGpuPoolInputs, planned: PlannedNodePool) -> gcp.container.NodePool:
        pool, entry, machine = inputs.pool, planned.entry, planned.machine
        terms = TERMS[entry.market]
        taints = {COMPUTE_CLASS_LABEL: pool.name}
        if terms.tainted:
            taints[LABEL_MARKET] = entry.market.value
        return gcp.container.NodePool(
            f"{name}-{planned.name.removeprefix(f'{pool.name}-')}",
            project=inputs.project,
            name=planned.name,
            cluster=inputs.cluster_name,
            location=inputs.location,
            node_locations=list(planned.zones),
            initial_node_count=planned.initial_nodes,
            autoscaling=gcp.container.NodePoolAutoscalingArgs(
                total_min_node_count=entry.min,
                total_max_node_count=entry.max,
                location_policy=terms.location_policy,
            ),
            max_pods_per_node=inputs.max_pods_per_node,
            management=gcp.container.NodePoolManagementArgs(auto_repair=terms.auto_repair, auto_upgrade=True),
            # GPUs are scarce: a node goes before its successor comes, so that an upgrade needs no spare one.
            upgrade_settings=gcp.container.NodePoolUpgradeSettingsArgs(strategy="SURGE", max_surge=0, max_unavailable=1)
            if terms.surge_upgrades
            else None,
            # Without this the end of a node pool, and so its replacement, ignores disruption budgets (pulumi-gcp#255).
            node_drain_configs=[gcp.container.NodePoolNodeDrainConfigArgs(respect_pdb_during_node_pool_deletion=True)],
            network_config=gcp.container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
            node_config=node_config(
                machine_type=machine.name,
                disk_gb=pool.disk_gb,
                disk_type=boot_disk_type(machine.series),
                service_account=inputs.node_service_account,
                node_labels={
                    **pool.labels,
                    COMPUTE_CLASS_LABEL: pool.name,
                    LABEL_POOL: pool.name,
                    LABEL_MARKET: entry.market.value,
                },
                resource_labels=inputs.labels,
                taints=[
                    gcp.container.NodePoolNodeConfigTaintArgs(key=key, value=value, effect="NO_SCHEDULE")
                    for key, value in taints.items()
                ],
                guest_accelerators=[_guest_accelerator(machine, pool.sharing)],
                ephemeral_storage_local_ssd_config=gcp.container.NodePoolNodeConfigEphemeralStorageLocalSsdConfigArgs(
                    local_ssd_count=planned.local_ssd_disks
                )
                if planned.local_ssd_disks
                else None,
                shutdown=spot_shutdown(pool) if entry.market is Market.SPOT else {},
                **purchase(entry),
            ),
            opts=child(self, ignore_changes=GROWS_BY_ITSELF, custom_timeouts=NODE_POOL_TIMEOUTS),
        )

    def _compute_class(
        self, name: str, pool: GcpPoolSpec, pools: Sequence[gcp.container.NodePool]
    ) -> kubernetes.apiextensions.CustomResource:
        return kubernetes.apiextensions.CustomResource(
            f"{name}-class",
            api_version="cloud.google.com/v1",
            kind="ComputeClass",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=pool.name),
            spec={
                "priorities": [{"nodepools": [node_pool.name]} for node_pool in pools],
                "nodePoolAutoCreation": {"enabled": False},
                "whenUnsatisfiable": "DoNotScaleUp",
                # These moves honour disruption budgets (GKE documentation, "About custom ComputeClasses").
                "activeMigration": {"optimizeRulePriority": pool.return_to_preferred},
                # Only empty nodes go: moving a model to pack GPUs costs a cold start.
                "autoscalingPolicy": {
                    "consolidationDelayMinutes": pool.idle_minutes,
                    "consolidationThreshold": 0,
                    "gpuConsolidationThreshold": 0,
                },
            },
            opts=child(self),
        )


def _guest_accelerator(
    machine: MachineType, sharing: SharingSpec | None
) -> gcp.container.NodePoolNodeConfigGuestAcceleratorArgs:
    """The GPUs of a machine; ``count`` is of whole ones, however many pods share each."""
    return gcp.container.NodePoolNodeConfigGuestAcceleratorArgs(
        type=machine.accelerator_label or "",
        count=machine.gpus,
        gpu_driver_installation_config=gcp.container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
            gpu_driver_version="LATEST"
        ),
        gpu_partition_size=None if sharing is None else sharing.partition,
        gpu_sharing_config=gcp.container.NodePoolNodeConfigGuestAcceleratorGpuSharingConfigArgs(
            gpu_sharing_strategy=_STRATEGIES[sharing.strategy], max_shared_clients_per_gpu=sharing.clients
        )
        if sharing is not None and sharing.strategy is not None and sharing.clients is not None
        else None,
    )


_STRATEGIES = {SharingStrategy.TIME_SHARING: "TIME_SHARING"}
"""The cloud's names."""


def plan_node_pools(pool: GcpPoolSpec, cluster_zones: Sequence[str], max_pods_per_node: int) -> list[PlannedNodePool]:
    """The node pool of each capacity entry, in the pool's order.

    Raises:
        UnknownFact: for a machine type that is not in the catalog.
    """
    planned: list[PlannedNodePool] = []
    seen: Counter[str] = Counter()
    for entry in pool.capacity:
        machine = catalog.machine_type(GCP.name, entry.machine_type)
        node = GCP.machine_node(
            machine.name, max_pods=max_pods_per_node, disk_gb=pool.disk_gb, local_ssd=pool.local_ssd
        )
        disks = machine.local_ssd_disks if node.local_ssd_gib else 0
        zones = zones_of_entry(entry, machine, cluster_zones)
        immutable = {
            "machineType": machine.name,
            "reservation": entry.reservation,
            "diskGb": pool.disk_gb,
            "localSsdDisks": disks,
            "maxPodsPerNode": max_pods_per_node,
            **({} if pool.sharing is None else {"sharing": pool.sharing.model_dump(mode="json", exclude_none=True)}),
            # GKE makes the nodes anew for it, and the way back to the default has no value to send (markets.py).
            **(spot_shutdown(pool) if entry.market is Market.SPOT else {}),
        }
        twin = digest([entry.market, immutable])
        seen[twin] += 1
        planned.append(
            PlannedNodePool(
                name=f"{pool.name}-{entry.market.value}-{digest([entry.market, immutable, seen[twin]])}",
                entry=entry,
                machine=machine,
                zones=zones,
                initial_nodes=initial_nodes_per_zone(entry.min, len(zones)),
                local_ssd_disks=disks,
            )
        )
    return planned
