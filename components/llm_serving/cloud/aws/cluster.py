"""A private EKS cluster with the CPU nodes that run everything but models.

Owns the control plane with its log and the key of the Kubernetes Secrets, who may enter, Amazon's add-ons, the roles of
nodes and the system nodes. Leaves alone GPU nodes and who makes them, the network, and everything inside the cluster
that is not an add-on of Amazon's.
"""

import json
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from llm_serving import catalog
from llm_serving.cloud.aws import access, policies
from llm_serving.cloud.aws.arguments import AwsClusterSettingsArgs
from llm_serving.cloud.aws.cluster_addons import NAMESPACE, ClusterAddon, cluster_addons
from llm_serving.cloud.aws.keys import service_key
from llm_serving.cloud.aws.names import managed_policy, partition, role_name
from llm_serving.cloud.aws.node_images import volumes
from llm_serving.cloud.aws.nodes import NODE_GROUP_TIMEOUTS, SYSTEM_DISK_GB, launch_template, user_data
from llm_serving.cloud.aws.roles import role
from llm_serving.cloud.bounded_names import digest
from llm_serving.cloud.checks import obey_rules
from llm_serving.component import Frozen, after, child, token, validated
from llm_serving.planning.clouds import AWS
from llm_serving.planning.rules.stack import AwsShape
from llm_serving.spec.aws import AccountId, AwsClusterSpec, AwsNodeImage, Region
from llm_serving.spec.network import Cidr

LOG_DAYS = 90
CLUSTER_ADMINISTRATOR = "AmazonEKSClusterAdminPolicy"
"""EKS documentation, "Review access policy permissions"."""


class AwsClusterArgs(TypedDict):
    """Arguments of AwsCluster."""

    account: str
    """Number of the account."""
    region: str
    """Region of the cluster."""
    cluster: AwsClusterSettingsArgs
    """The cluster."""
    node_subnet_ids: pulumi.Input[list[str]]
    """Ids of the private subnets of nodes and control plane, one a zone."""
    services_range: str
    """Range of the cluster's Services."""
    groups: NotRequired[list[str]]
    """ARNs of IAM roles and users that may enter, each as a Kubernetes group of the same name: what they may do is said
    by the roles of namespaces, those of teams for instance."""
    tags: NotRequired[dict[str, str]]
    """Tags of the cluster, its nodes, roles and key; on the bill as well."""


class AwsClusterInputs(Frozen):
    """The validated arguments."""

    account: AccountId
    region: Region
    cluster: AwsClusterSpec
    node_subnet_ids: Any
    services_range: Cidr
    groups: tuple[str, ...] = ()
    tags: dict[str, str] = {}


class AwsCluster(pulumi.ComponentResource):
    """A private EKS cluster with add-ons and system nodes, ready for GPU nodes."""

    name: pulumi.Output[str]
    """Name of the cluster. It is known before the system nodes and the add-ons are there, so that a change of theirs
    replaces nothing that is named after the cluster: whoever needs them depends on this component."""
    arn: pulumi.Output[str]
    """ARN of the cluster."""
    endpoint: pulumi.Output[str]
    """URL of the control plane."""
    certificate_authority: pulumi.Output[str]
    """Certificate of the control plane's authority, base64."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig that runs `aws eks get-token`; it holds no credentials."""
    node_role_name: pulumi.Output[str]
    """Name of the role of nodes that Karpenter makes, which the cluster lets in."""
    node_role_arn: pulumi.Output[str]
    """ARN of that role."""
    node_group_role_name: pulumi.Output[str]
    """Name of the role of nodes of managed node groups, which EKS lets in by itself."""
    node_group_role_arn: pulumi.Output[str]
    """ARN of that role."""
    security_group_id: pulumi.Output[str]
    """Id of the security group that EKS gives control plane and nodes, which reach each other in it."""

    def __init__(self, name: str, args: AwsClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsClusterInputs, args, "AwsCluster", name)
        obey_rules(
            "AwsCluster",
            name,
            {},
            cloud=AWS,
            region=inputs.region,
            zones=inputs.cluster.zones,
            max_pods_per_node=inputs.cluster.max_pods_per_node,
            aws=AwsShape(account=inputs.account, cluster=inputs.cluster),
        )
        super().__init__(token("AwsCluster"), name, None, opts)

        cluster = self._control_plane(name, inputs)
        self._people(name, inputs, cluster)
        karpenter, karpenter_rights = self._node_role(name, inputs, "nodes")
        groups, group_rights = self._node_role(name, inputs, "node-groups")
        self._entry_of_nodes(name, inputs, cluster, karpenter)
        addons = cluster_addons(inputs.cluster.max_pods_per_node)
        first = self._addons(name, inputs, cluster, [addon for addon in addons if addon.before_nodes], [])
        system = self._system_nodes(name, inputs, cluster, groups, [*first, *group_rights])
        self._addons(name, inputs, cluster, [addon for addon in addons if not addon.before_nodes], [system])

        may_work = pulumi.Output.all(*[right.id for right in (*karpenter_rights, *group_rights)])
        self.name = cluster.name
        self.arn = cluster.arn
        self.endpoint = cluster.endpoint
        self.certificate_authority = cluster.certificate_authority.apply(lambda authority: authority.data or "")
        self.kubeconfig = pulumi.Output.all(self.name, self.endpoint, self.certificate_authority).apply(
            lambda known: access.kubeconfig(known[0], inputs.region, known[1], known[2])
        )
        self.node_role_name, self.node_role_arn = after(may_work, karpenter.name), after(may_work, karpenter.arn)
        self.node_group_role_name, self.node_group_role_arn = (
            after(may_work, groups.name),
            after(may_work, groups.arn),
        )
        self.security_group_id = cluster.vpc_config.apply(lambda config: config.cluster_security_group_id or "")
        self.register_outputs(
            {
                "name": self.name,
                "arn": self.arn,
                "endpoint": self.endpoint,
                "certificateAuthority": self.certificate_authority,
                "kubeconfig": self.kubeconfig,
                "nodeRoleName": self.node_role_name,
                "nodeRoleArn": self.node_role_arn,
                "nodeGroupRoleName": self.node_group_role_name,
                "nodeGroupRoleArn": self.node_group_role_arn,
                "securityGroupId": self.security_group_id,
            }
        )

    def _control_plane(self, name: str, inputs: AwsClusterInputs) -> aws.eks.Cluster:
        spec = inputs.cluster
        control_plane, rights = role(
            self,
            f"{name}-cluster",
            role_name=role_name(inputs.region, spec.name, "cluster"),
            trust=policies.trust_of_service("eks.amazonaws.com"),
            managed_policies=[managed_policy(inputs.region, "AmazonEKSClusterPolicy")],
            tags=inputs.tags,
        )
        return aws.eks.Cluster(
            name,
            name=spec.name,
            version=spec.version,
            role_arn=control_plane.arn,
            deletion_protection=spec.deletion_protection,
            # Past its standard support a version costs six times as much; EKS upgrades it instead (EKS documentation,
            # "View current cluster upgrade policy").
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            # Who gets in.
            vpc_config=access.endpoints(spec.access, inputs.node_subnet_ids),
            # An entry that EKS makes by itself for whoever creates the cluster would be in the way of ours, and the
            # next one who runs Pulumi has none.
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            encryption_config=self._secret_encryption(name, inputs),
            kubernetes_network_config=aws.eks.ClusterKubernetesNetworkConfigArgs(
                ip_family="ipv4", service_ipv4_cidr=str(inputs.services_range)
            ),
            # Network, DNS and proxy are add-ons with a version here.
            bootstrap_self_managed_addons=False,
            enabled_cluster_log_types=[kind.value for kind in spec.log_types],
            tags=inputs.tags,
            opts=child(
                self,
                depends_on=[*rights, *self._log_group(name, inputs)],
                protect=spec.deletion_protection,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="90m", delete="60m"),
            ),
        )

    def _secret_encryption(self, name: str, inputs: AwsClusterInputs) -> aws.eks.ClusterEncryptionConfigArgs | None:
        if not inputs.cluster.encrypt_secrets:
            return None
        key = service_key(
            self,
            name,
            description=f"Kubernetes Secrets of {inputs.cluster.name}",
            tags=inputs.tags,
            protect=inputs.cluster.deletion_protection,
        )
        return aws.eks.ClusterEncryptionConfigArgs(
            provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
        )

    def _log_group(self, name: str, inputs: AwsClusterInputs) -> list[pulumi.Resource]:
        """The group into which EKS writes by this name; it would make one that keeps everything for ever."""
        if not inputs.cluster.log_types:
            return []
        return [
            aws.cloudwatch.LogGroup(
                f"{name}-control-plane",
                name=f"/aws/eks/{inputs.cluster.name}/cluster",
                retention_in_days=LOG_DAYS,
                tags=inputs.tags,
                opts=child(self),
            )
        ]

    def _people(self, name: str, inputs: AwsClusterInputs, cluster: aws.eks.Cluster) -> None:
        """A principal has one entry, whether it is an administrator, a group or both."""
        administrators = [administrator.principal for administrator in inputs.cluster.administrators]
        for principal in dict.fromkeys([*administrators, *inputs.groups]):
            label = f"{name}-{digest(principal)}"
            entry = aws.eks.AccessEntry(
                label,
                cluster_name=cluster.name,
                principal_arn=principal,
                type="STANDARD",
                kubernetes_groups=[principal] if principal in inputs.groups else [],
                tags=inputs.tags,
                opts=child(self),
            )
            if principal not in administrators:
                continue
            aws.eks.AccessPolicyAssociation(
                label,
                cluster_name=cluster.name,
                principal_arn=entry.principal_arn,
                policy_arn=f"arn:{partition(inputs.region)}:eks::aws:cluster-access-policy/{CLUSTER_ADMINISTRATOR}",
                access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=child(self),
            )

    def _node_role(
        self, name: str, inputs: AwsClusterInputs, purpose: str
    ) -> tuple[aws.iam.Role, list[pulumi.CustomResource]]:
        """Nodes join and pull the images of Amazon's add-ons; what else they may pull, whoever has the images says."""
        arn, spec = f"arn:{partition(inputs.region)}", inputs.cluster
        return role(
            self,
            f"{name}-{purpose}",
            role_name=role_name(inputs.region, spec.name, purpose),
            trust=policies.trust_of_service(policies.ec2_service(partition(inputs.region))),
            policy=policies.node(
                f"{arn}:eks:{inputs.region}:{inputs.account}:cluster/{spec.name}",
                [f"{arn}:ecr:{inputs.region}:{catalog.eks_registry(inputs.region)}:repository/*"],
            ),
            tags=inputs.tags,
        )

    def _entry_of_nodes(
        self, name: str, inputs: AwsClusterInputs, cluster: aws.eks.Cluster, nodes: aws.iam.Role
    ) -> aws.eks.AccessEntry:
        """Nodes that Karpenter makes may join. EKS makes the entry of managed node groups by itself, and removes it
        with the last of them (EKS documentation, "Delete a managed node group from your cluster"), which is why these
        have another role."""
        return aws.eks.AccessEntry(
            f"{name}-nodes",
            cluster_name=cluster.name,
            principal_arn=nodes.arn,
            type="EC2_LINUX",
            tags=inputs.tags,
            opts=child(self),
        )

    def _addons(
        self,
        name: str,
        inputs: AwsClusterInputs,
        cluster: aws.eks.Cluster,
        addons: Sequence[ClusterAddon],
        after: Sequence[pulumi.Resource],
    ) -> list[aws.eks.Addon]:
        versions = catalog.eks_addons(inputs.cluster.version)
        made: list[aws.eks.Addon] = []
        for addon in addons:
            identities, rights = self._addon_identity(name, inputs, cluster, addon)
            made.append(
                aws.eks.Addon(
                    f"{name}-{addon.name}",
                    cluster_name=cluster.name,
                    addon_name=addon.name,
                    addon_version=versions[addon.name],
                    configuration_values=json.dumps(addon.configuration, sort_keys=True)
                    if addon.configuration
                    else None,
                    pod_identity_associations=identities,
                    # These settings hold, whatever somebody changed by hand.
                    resolve_conflicts_on_create="OVERWRITE",
                    resolve_conflicts_on_update="OVERWRITE",
                    tags=inputs.tags,
                    opts=child(self, depends_on=[*after, *rights]),
                )
            )
        return made

    def _addon_identity(
        self, name: str, inputs: AwsClusterInputs, cluster: aws.eks.Cluster, addon: ClusterAddon
    ) -> tuple[list[aws.eks.AddonPodIdentityAssociationArgs] | None, list[pulumi.CustomResource]]:
        account, policy = addon.service_account, addon.managed_policy
        if account is None or policy is None:
            return None, []
        made, rights = role(
            self,
            f"{name}-{addon.name}",
            role_name=role_name(inputs.region, inputs.cluster.name, addon.name),
            trust=cluster.arn.apply(lambda arn: policies.trust_of_pods(arn, NAMESPACE, account)),
            managed_policies=[managed_policy(inputs.region, policy)],
            tags=inputs.tags,
        )
        return [aws.eks.AddonPodIdentityAssociationArgs(role_arn=made.arn, service_account=account)], rights

    def _system_nodes(
        self,
        name: str,
        inputs: AwsClusterInputs,
        cluster: aws.eks.Cluster,
        nodes: aws.iam.Role,
        needs: Sequence[pulumi.Resource],
    ) -> aws.eks.NodeGroup:
        spec, pool = inputs.cluster, inputs.cluster.system_pool
        count = pool.min * len(spec.zones)
        # Both replace a group, and one that has a name is deleted first: CoreDNS and Karpenter would have no node.
        kind = digest([pool.machine_type, *spec.zones])
        template = launch_template(
            self,
            f"{name}-system",
            volumes=volumes(AwsNodeImage.AL2023, SYSTEM_DISK_GB),
            tags={**inputs.tags, "Name": f"{spec.name}-system"},
            user_data=user_data({"kubelet": {"config": {"maxPods": spec.max_pods_per_node}}}),
        )
        return aws.eks.NodeGroup(
            f"{name}-system-{kind}",
            cluster_name=cluster.name,
            node_group_name=f"system-{kind}",
            node_role_arn=nodes.arn,
            subnet_ids=inputs.node_subnet_ids,
            version=spec.version,
            ami_type="AL2023_x86_64_STANDARD",
            capacity_type="ON_DEMAND",
            instance_types=[pool.machine_type],
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(min_size=count, desired_size=count, max_size=count),
            update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            tags=inputs.tags,
            opts=child(self, depends_on=list(needs), custom_timeouts=NODE_GROUP_TIMEOUTS),
        )
