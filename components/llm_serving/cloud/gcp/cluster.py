"""A private GKE cluster with the CPU nodes that run everything but models.

Owns the control plane, the identity of the nodes, the key of the Kubernetes Secrets and the system pool. Leaves alone
GPU pools (they come and go with models), the network, and everything inside the cluster.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp

from llm_serving import catalog
from llm_serving.cloud.checks import obey_rules
from llm_serving.cloud.gcp import access
from llm_serving.cloud.gcp.arguments import ClusterArgs
from llm_serving.cloud.gcp.boot_disks import boot_disk_type
from llm_serving.cloud.gcp.keys import service_key
from llm_serving.cloud.gcp.names import node_account_id
from llm_serving.cloud.gcp.nodes import GROWS_BY_ITSELF, NODE_POOL_TIMEOUTS, node_config
from llm_serving.component import Frozen, child, token, validated
from llm_serving.planning.clouds import GCP
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.spec.gcp import GcpClusterSpec, GcpMaintenanceWindow, ProjectId, Region

NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""The least that a node needs: logs, metrics, and GKE's own bookkeeping (GKE documentation, "Use least privilege IAM
service accounts")."""

SYSTEM_DISK_GB = 100

METRICS = (
    "SYSTEM_COMPONENTS",
    "STORAGE",
    "POD",
    "DEPLOYMENT",
    "DAEMONSET",
    "STATEFULSET",
    "HPA",
    "KUBELET",
    "CADVISOR",
    "DCGM",
)

EXCLUSION_SCOPES = {
    "all": "NO_UPGRADES",
    "minor": "NO_MINOR_UPGRADES",
    "minor-and-nodes": "NO_MINOR_OR_NODE_UPGRADES",
}

DRIFT = ["initialNodeCount", "nodeConfig"]
"""Both describe the default pool, which GKE insists on at creation and the provider removes right after. What is
reported there later is some other pool, and a difference would replace the cluster (pulumi-gcp#88, #744)."""


class GcpClusterArgs(TypedDict):
    """Arguments of GcpCluster."""

    project: str
    """Id of the project."""
    region: str
    """Region of the cluster."""
    cluster: ClusterArgs
    """The cluster."""
    network_id: pulumi.Input[str]
    """Id of the VPC network."""
    subnet_id: pulumi.Input[str]
    """Id of the subnet of the nodes."""
    pods_range_name: pulumi.Input[str]
    """Name of the subnet's secondary range for pods."""
    services_range_name: pulumi.Input[str]
    """Name of the subnet's secondary range for Services; empty for GKE's own range."""
    gateway_api: NotRequired[bool]
    """Have GKE bring the definitions of the Gateway API, in the version that it chooses, and its own gateways; false by
    default."""
    labels: NotRequired[dict[str, str]]
    """Labels of the cluster, its nodes and its key; on the bill as well."""


class GcpClusterInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    region: Region
    cluster: GcpClusterSpec
    network_id: Any
    subnet_id: Any
    pods_range_name: Any
    services_range_name: Any
    gateway_api: bool = False
    labels: dict[str, str] = {}


class GcpCluster(pulumi.ComponentResource):
    """A private GKE cluster with a system pool, ready for GPU pools."""

    name: pulumi.Output[str]
    """Name of the cluster. Whoever uses it waits for the system pool: GKE leaves the GPU taint out while a cluster has
    GPU nodes only (terraform-google-kubernetes-engine#703)."""
    location: pulumi.Output[str]
    """Region or zone of the control plane."""
    endpoint: pulumi.Output[str]
    """Host of the control plane."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig that runs `gke-gcloud-auth-plugin`; it holds no credentials."""
    workload_pool: pulumi.Output[str]
    """Pool of Workload Identity."""
    node_service_account: pulumi.Output[str]
    """Email of the nodes' service account."""

    def __init__(self, name: str, args: GcpClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpClusterInputs, args, "GcpCluster", name)
        obey_rules(
            "GcpCluster",
            name,
            {},
            cloud=GCP,
            region=inputs.region,
            zones=inputs.cluster.zones,
            max_pods_per_node=inputs.cluster.max_pods_per_node,
            gcp=GcpShape(cluster=inputs.cluster),
        )
        super().__init__(token("GcpCluster"), name, None, opts)

        account, grant = self._node_identity(name, inputs)
        encryption, needs = self._secret_encryption(name, inputs)
        cluster = self._control_plane(name, inputs, account, encryption, [grant, *needs])
        system = self._system_pool(name, inputs, account, cluster)

        by_dns = inputs.cluster.access.mode == "dns"
        self.name = pulumi.Output.all(cluster.name, system.name).apply(lambda names: str(names[0]))
        self.location = cluster.location
        self.endpoint = cluster.control_plane_endpoints_config.apply(_dns_endpoint) if by_dns else cluster.endpoint
        self.kubeconfig = pulumi.Output.all(cluster.name, self.endpoint, cluster.master_auth, system.name).apply(
            lambda known: access.kubeconfig(known[0], known[1], None if by_dns else known[2]["cluster_ca_certificate"])
        )
        self.workload_pool = cluster.workload_identity_config.apply(lambda config: config.workload_pool or "")
        self.node_service_account = account.email
        self.register_outputs(
            {
                "name": self.name,
                "location": self.location,
                "endpoint": self.endpoint,
                "kubeconfig": self.kubeconfig,
                "workloadPool": self.workload_pool,
                "nodeServiceAccount": self.node_service_account,
            }
        )

    def _node_identity(
        self, name: str, inputs: GcpClusterInputs
    ) -> tuple[gcp.serviceaccount.Account, gcp.projects.IAMMember]:
        account = gcp.serviceaccount.Account(
            f"{name}-nodes",
            project=inputs.project,
            account_id=node_account_id(inputs.cluster.name),
            display_name=f"Nodes of {inputs.cluster.name}",
            opts=child(self),
        )
        grant = gcp.projects.IAMMember(
            f"{name}-nodes-role",
            project=inputs.project,
            role=NODE_ROLE,
            member=account.member,
            opts=child(self),
        )
        return account, grant

    def _secret_encryption(
        self, name: str, inputs: GcpClusterInputs
    ) -> tuple[gcp.container.ClusterDatabaseEncryptionArgs, Sequence[pulumi.Resource]]:
        if not inputs.cluster.encrypt_secrets:
            # Left out, it would keep what it is, and a cluster that was encrypted before would lose its key.
            return gcp.container.ClusterDatabaseEncryptionArgs(state="DECRYPTED"), []
        agent = gcp.projects.ServiceIdentity(
            f"{name}-agent", project=inputs.project, service="container.googleapis.com", opts=child(self)
        )
        key, grant = service_key(
            self,
            name,
            purpose="kubernetes-secrets",
            project=inputs.project,
            region=inputs.region,
            agent=agent.member,
            labels=inputs.labels,
            protect=inputs.cluster.deletion_protection,
        )
        return gcp.container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=key.id), [grant]

    def _control_plane(
        self,
        name: str,
        inputs: GcpClusterInputs,
        account: gcp.serviceaccount.Account,
        encryption: gcp.container.ClusterDatabaseEncryptionArgs,
        needs: Sequence[pulumi.Resource],
    ) -> gcp.container.Cluster:
        spec = inputs.cluster
        return gcp.container.Cluster(
            name,
            project=inputs.project,
            name=spec.name,
            location=inputs.region if spec.regional else spec.zones[0],
            # A zonal cluster's own zone is always among them and must not be listed.
            node_locations=list(spec.zones if spec.regional else spec.zones[1:]),
            release_channel=gcp.container.ClusterReleaseChannelArgs(channel=spec.release_channel.value.upper()),
            min_master_version=spec.version,
            maintenance_policy=maintenance_policy(spec.maintenance),
            deletion_protection=spec.deletion_protection,
            resource_labels=inputs.labels,
            # Pools of their own: a change of an inline pool would replace the cluster (pulumi-gcp#88).
            remove_default_node_pool=True,
            initial_node_count=1,
            node_config=gcp.container.ClusterNodeConfigArgs(service_account=account.email),
            # Who gets in.
            control_plane_endpoints_config=access.control_plane_endpoints(spec.access),
            private_cluster_config=access.private_cluster(spec.access),
            master_authorized_networks_config=access.authorized_networks(spec.access),
            master_auth=gcp.container.ClusterMasterAuthArgs(
                client_certificate_config=gcp.container.ClusterMasterAuthClientCertificateConfigArgs(
                    issue_client_certificate=False
                )
            ),
            anonymous_authentication_config=gcp.container.ClusterAnonymousAuthenticationConfigArgs(mode="LIMITED"),
            rbac_binding_config=gcp.container.ClusterRbacBindingConfigArgs(
                enable_insecure_binding_system_authenticated=False,
                enable_insecure_binding_system_unauthenticated=False,
            ),
            enable_legacy_abac=False,
            # Computed by the provider where it is left out, so that the groups of a removed setting would keep their
            # rights; an empty name switches it off (terraform-provider-google, resource_container_cluster.go,
            # expandContainerClusterAuthenticatorGroupsConfig).
            authenticator_groups_config=gcp.container.ClusterAuthenticatorGroupsConfigArgs(
                security_group=spec.security_group or ""
            ),
            workload_identity_config=gcp.container.ClusterWorkloadIdentityConfigArgs(
                workload_pool=f"{inputs.project}.svc.id.goog"
            ),
            database_encryption=encryption,
            enable_shielded_nodes=True,
            # GKE has given up scanning running workloads ("Vulnerability scanning removal"); the registry scans images.
            security_posture_config=gcp.container.ClusterSecurityPostureConfigArgs(
                mode="BASIC", vulnerability_mode="VULNERABILITY_DISABLED"
            ),
            # How traffic flows.
            network=inputs.network_id,
            subnetwork=inputs.subnet_id,
            networking_mode="VPC_NATIVE",
            ip_allocation_policy=gcp.container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=inputs.pods_range_name,
                # Without a name GKE takes its own range. Its address cannot be said beside a name for pods
                # (hashicorp/terraform-provider-google#20448).
                services_secondary_range_name=pulumi.Output.from_input(inputs.services_range_name).apply(
                    lambda range_name: range_name or None
                ),
            ),
            default_max_pods_per_node=spec.max_pods_per_node,
            datapath_provider="ADVANCED_DATAPATH",
            enable_l4_ilb_subsetting=True,
            # GKE puts its own version of the definitions back where another is installed (envoyproxy/gateway#2301).
            gateway_api_config=gcp.container.ClusterGatewayApiConfigArgs(
                channel="CHANNEL_STANDARD" if inputs.gateway_api else "CHANNEL_DISABLED"
            ),
            # How nodes come, and what runs on all of them. Node pools are ours: no auto-provisioning.
            cluster_autoscaling=gcp.container.ClusterClusterAutoscalingArgs(
                enabled=False, autoscaling_profile="OPTIMIZE_UTILIZATION"
            ),
            node_pool_defaults=gcp.container.ClusterNodePoolDefaultsArgs(
                node_config_defaults=gcp.container.ClusterNodePoolDefaultsNodeConfigDefaultsArgs(
                    gcfs_config=gcp.container.ClusterNodePoolDefaultsNodeConfigDefaultsGcfsConfigArgs(enabled=True),
                    insecure_kubelet_readonly_port_enabled="FALSE",
                )
            ),
            addons_config=gcp.container.ClusterAddonsConfigArgs(
                gcs_fuse_csi_driver_config=gcp.container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(enabled=True),
                gce_persistent_disk_csi_driver_config=gcp.container.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs(
                    enabled=True
                ),
                horizontal_pod_autoscaling=gcp.container.ClusterAddonsConfigHorizontalPodAutoscalingArgs(
                    disabled=False
                ),
                http_load_balancing=gcp.container.ClusterAddonsConfigHttpLoadBalancingArgs(disabled=False),
            ),
            # What is seen and what it costs.
            logging_config=gcp.container.ClusterLoggingConfigArgs(enable_components=["SYSTEM_COMPONENTS", "WORKLOADS"]),
            monitoring_config=gcp.container.ClusterMonitoringConfigArgs(
                enable_components=list(METRICS),
                managed_prometheus=gcp.container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
            ),
            cost_management_config=gcp.container.ClusterCostManagementConfigArgs(enabled=True),
            opts=child(
                self,
                depends_on=needs,
                ignore_changes=[*DRIFT, *access.drift(spec.access)],
                protect=spec.deletion_protection,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="90m", delete="60m"),
            ),
        )

    def _system_pool(
        self,
        name: str,
        inputs: GcpClusterInputs,
        account: gcp.serviceaccount.Account,
        cluster: gcp.container.Cluster,
    ) -> gcp.container.NodePool:
        pool = inputs.cluster.system_pool
        return gcp.container.NodePool(
            f"{name}-system",
            project=inputs.project,
            name="system",
            cluster=cluster.name,
            location=cluster.location,
            node_locations=list(inputs.cluster.zones),
            initial_node_count=pool.min,
            autoscaling=gcp.container.NodePoolAutoscalingArgs(
                min_node_count=pool.min, max_node_count=pool.max, location_policy="BALANCED"
            ),
            max_pods_per_node=inputs.cluster.max_pods_per_node,
            management=gcp.container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            upgrade_settings=gcp.container.NodePoolUpgradeSettingsArgs(
                strategy="SURGE", max_surge=1, max_unavailable=0
            ),
            network_config=gcp.container.NodePoolNetworkConfigArgs(enable_private_nodes=True),
            node_config=node_config(
                machine_type=pool.machine_type,
                disk_gb=SYSTEM_DISK_GB,
                disk_type=boot_disk_type(catalog.machine_type("gcp", pool.machine_type).series),
                service_account=account.email,
                node_labels={},
                resource_labels=inputs.labels,
            ),
            opts=child(self, ignore_changes=GROWS_BY_ITSELF, custom_timeouts=NODE_POOL_TIMEOUTS),
        )


def maintenance_policy(window: GcpMaintenanceWindow) -> gcp.container.ClusterMaintenancePolicyArgs:
    """The window and its exclusions. GKE takes a window's length as the end of its first occurrence."""
    start = datetime.fromisoformat(window.start)
    end = start + timedelta(hours=window.hours)
    return gcp.container.ClusterMaintenancePolicyArgs(
        recurring_window=gcp.container.ClusterMaintenancePolicyRecurringWindowArgs(
            start_time=window.start, end_time=end.strftime("%Y-%m-%dT%H:%M:%SZ"), recurrence=window.recurrence
        ),
        maintenance_exclusions=[
            gcp.container.ClusterMaintenancePolicyMaintenanceExclusionArgs(
                exclusion_name=exclusion.name,
                start_time=exclusion.start,
                end_time=exclusion.end,
                exclusion_options=gcp.container.ClusterMaintenancePolicyMaintenanceExclusionExclusionOptionsArgs(
                    scope=EXCLUSION_SCOPES[exclusion.scope]
                ),
            )
            for exclusion in window.exclusions
        ],
    )


def _dns_endpoint(config: gcp.container.outputs.ClusterControlPlaneEndpointsConfig) -> str:
    dns = config.dns_endpoint_config
    return (dns.endpoint if dns else None) or ""
