"""What every node of ours has in common, system or GPU."""

from typing import Any

import pulumi
import pulumi_gcp as gcp

from llm_serving.cloud.gcp.markets import Shutdown

NODE_POOL_TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="60m")
"""Google's provider waits 30 minutes by default; a drain that honours disruption budgets takes up to an hour for each
node (GKE documentation, "Standard cluster upgrades")."""

GROWS_BY_ITSELF = ["initialNodeCount"]
"""A change of ``initial_node_count`` replaces the pool, and it only counts on the first day (pulumi-gcp#412)."""


def node_config(
    *,
    machine_type: str,
    disk_gb: int,
    disk_type: str,
    service_account: pulumi.Input[str],
    node_labels: dict[str, str],
    resource_labels: dict[str, str],
    shutdown: Shutdown | None = None,
    **more: Any,
) -> gcp.container.NodePoolNodeConfigArgs:
    """A shielded node that streams images and gives pods no identity but their own.

    ``shutdown``: how long its orderly end takes, where it is not the cloud's default.
    ``more`` goes to the SDK's class as it is, which refuses what it does not know.
    """
    return gcp.container.NodePoolNodeConfigArgs(
        machine_type=machine_type,
        image_type="COS_CONTAINERD",
        disk_size_gb=disk_gb,
        disk_type=disk_type,
        service_account=service_account,
        # Scopes are the old way to limit a node; the service account's roles are the limit that counts.
        oauth_scopes=["https://www.googleapis.com/auth/cloud-platform"],
        labels=node_labels,
        resource_labels=resource_labels,
        metadata={"disable-legacy-endpoints": "true"},
        shielded_instance_config=gcp.container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_secure_boot=True, enable_integrity_monitoring=True
        ),
        workload_metadata_config=gcp.container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        kubelet_config=gcp.container.NodePoolNodeConfigKubeletConfigArgs(
            insecure_kubelet_readonly_port_enabled="FALSE", **(shutdown or {})
        ),
        gcfs_config=gcp.container.NodePoolNodeConfigGcfsConfigArgs(enabled=True),
        gvnic=gcp.container.NodePoolNodeConfigGvnicArgs(enabled=True),
        **more,
    )
