"""What gives an EKS cluster its nodes: Karpenter, and the device plugins of nodes whose image has none.

Owns Karpenter with its definitions, its role, the instance profile of its nodes, the queue of notices that instances
end, and the nodes for pods without GPU above those of the system node group. Leaves alone that node group, on which
Karpenter runs, the role of the nodes, which is the cluster's, and GPU pools (:mod:`llm_serving.cloud.aws.gpu_pools`):
they depend on this component, so that they are empty before Karpenter, which removes their finalizers, goes.
"""

import json
from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi_kubernetes import helm
from pydantic import Field

from llm_serving import catalog
from llm_serving.cloud.aws import device_plugins, karpenter, node_classes, policies
from llm_serving.cloud.aws.arguments import AwsPoolArgs, AwsSystemPoolArgs
from llm_serving.cloud.aws.markets import TERMS
from llm_serving.cloud.aws.names import partition, queue_name, role_name, rule_name
from llm_serving.cloud.aws.nodes import SYSTEM_DISK_GB
from llm_serving.cloud.aws.roles import role
from llm_serving.component import Frozen, child, token, validated
from llm_serving.helm_release import helm_release
from llm_serving.planning.clouds import AWS
from llm_serving.spec import Market
from llm_serving.spec.aws import AccountId, AwsNodeImage, AwsPoolSpec, AwsSystemPool, Region
from llm_serving.spec.names import ClusterName

RETENTION_SECONDS = 300

SYSTEM = "system"
"""Name of the NodePool for pods without GPU; no GPU pool's NodePool is called so, for they end in a hash."""
SYSTEM_IDLE_MINUTES = 10


class AwsNodeProvisionerArgs(TypedDict):
    """Arguments of AwsNodeProvisioner."""

    region: str
    """Region of the cluster."""
    account: str
    """Number of the account."""
    name: str
    """Name of the cluster; names of what is made begin with it."""
    cluster_name: pulumi.Input[str]
    """Name of the cluster once its system node group has nodes."""
    cluster_arn: pulumi.Input[str]
    """ARN of the cluster."""
    cluster_endpoint: pulumi.Input[str]
    """URL of the cluster's API."""
    node_role_name: pulumi.Input[str]
    """Name of the nodes' role, which has an access entry of type EC2_LINUX."""
    node_role_arn: pulumi.Input[str]
    """ARN of the nodes' role."""
    security_group_id: pulumi.Input[str]
    """Security group of the nodes."""
    subnet_ids: pulumi.Input[list[str]]
    """Subnets of the nodes, one for each of `zones`."""
    zones: list[str]
    """Zones of the cluster."""
    system_pool: NotRequired[AwsSystemPoolArgs]
    """CPU nodes; those above `min` are Karpenter's."""
    pools: NotRequired[list[AwsPoolArgs]]
    """GPU pools of the cluster: they decide which device plugins are installed."""
    max_pods_per_node: NotRequired[int]
    """Most pods on a node."""
    isolated: NotRequired[bool]
    """The network has no way to the internet, so that prices are those that Karpenter brings along."""
    tags: NotRequired[dict[str, str]]
    """Tags of all that is made, nodes included."""


class AwsNodeProvisionerInputs(Frozen):
    """The validated arguments."""

    region: Region
    account: AccountId
    name: ClusterName
    cluster_name: Any
    cluster_arn: Any
    cluster_endpoint: Any
    node_role_name: Any
    node_role_arn: Any
    security_group_id: Any
    subnet_ids: Any
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    system_pool: AwsSystemPool = AwsSystemPool()
    pools: tuple[AwsPoolSpec, ...] = ()
    max_pods_per_node: Annotated[int, Field(ge=8, le=250)] = 32
    isolated: bool = False
    tags: dict[str, str] = {}


class AwsNodeProvisioner(pulumi.ComponentResource):
    """Karpenter, ready for node pools."""

    instance_profile: pulumi.Output[str]
    """Name of the instance profile of nodes. Whoever has it finds Karpenter running."""
    interruption_queue: pulumi.Output[str]
    """Name of the queue of notices that instances end."""

    def __init__(self, name: str, args: AwsNodeProvisionerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsNodeProvisionerInputs, args, "AwsNodeProvisioner", name)
        super().__init__(token("AwsNodeProvisioner"), name, None, opts)
        queue = self._interruption_queue(name, inputs)
        profile = aws.iam.InstanceProfile(
            f"{name}-nodes",
            name=role_name(inputs.region, inputs.name, "nodes"),
            role=inputs.node_role_name,
            tags=inputs.tags,
            opts=child(self),
        )
        identity = self._identity(name, inputs, queue, profile)
        karpenter = self._karpenter(name, inputs, queue, identity)
        self._device_plugins(name, inputs)

        running = pulumi.Output.all(profile.name, karpenter.name)
        self.instance_profile = running.apply(lambda known: str(known[0]))
        self.interruption_queue = queue.name
        self._system_nodes(name, inputs, karpenter)
        self.register_outputs({"instanceProfile": self.instance_profile, "interruptionQueue": self.interruption_queue})

    def _interruption_queue(self, name: str, inputs: AwsNodeProvisionerInputs) -> aws.sqs.Queue:
        queue = aws.sqs.Queue(
            f"{name}-interruptions",
            name=queue_name(inputs.name),
            # A notice is of no use to whoever reads it later.
            message_retention_seconds=RETENTION_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=inputs.tags,
            opts=child(self),
        )
        rules = [
            aws.cloudwatch.EventRule(
                f"{name}-{event}",
                name=rule_name(inputs.name, event),
                event_pattern=json.dumps(pattern, sort_keys=True),
                tags=inputs.tags,
                opts=child(self),
            )
            for event, pattern in karpenter.EVENTS.items()
        ]
        arns = pulumi.Output.all(queue.arn, *[rule.arn for rule in rules])
        policy = aws.sqs.QueuePolicy(
            f"{name}-interruptions",
            queue_url=queue.url,
            policy=pulumi.Output.json_dumps(arns.apply(lambda known: policies.interruption_queue(known[0], known[1:]))),
            opts=child(self),
        )
        for event, rule in zip(karpenter.EVENTS, rules, strict=True):
            aws.cloudwatch.EventTarget(
                f"{name}-{event}", rule=rule.name, arn=queue.arn, opts=child(self, depends_on=[policy])
            )
        return queue

    def _identity(
        self,
        name: str,
        inputs: AwsNodeProvisionerInputs,
        queue: aws.sqs.Queue,
        profile: aws.iam.InstanceProfile,
    ) -> list[pulumi.Resource]:
        """Karpenter's role, which its pods alone can take; what has to be there before they start."""
        trust = pulumi.Output.from_input(inputs.cluster_arn).apply(
            lambda arn: policies.trust_of_pods(arn, karpenter.NAMESPACE, karpenter.SERVICE_ACCOUNT)
        )
        policy = pulumi.Output.all(inputs.node_role_arn, profile.arn, queue.arn).apply(
            lambda arns: policies.karpenter(partition(inputs.region), inputs.region, inputs.account, inputs.name, *arns)
        )
        made, rights = role(
            self,
            f"{name}-karpenter",
            role_name=role_name(inputs.region, inputs.name, karpenter.NAMESPACE, karpenter.SERVICE_ACCOUNT),
            trust=trust,
            policy=policy,
            tags=inputs.tags,
        )
        association = aws.eks.PodIdentityAssociation(
            f"{name}-karpenter",
            cluster_name=inputs.cluster_name,
            namespace=karpenter.NAMESPACE,
            service_account=karpenter.SERVICE_ACCOUNT,
            role_arn=made.arn,
            tags=inputs.tags,
            opts=child(self),
        )
        return [*rights, association]

    def _karpenter(
        self,
        name: str,
        inputs: AwsNodeProvisionerInputs,
        queue: aws.sqs.Queue,
        identity: list[pulumi.Resource],
    ) -> helm.v3.Release:
        definitions = helm_release(self, f"{name}-karpenter-crd", karpenter.DEFINITIONS, karpenter.NAMESPACE, {})
        values = pulumi.Output.all(inputs.cluster_name, inputs.cluster_endpoint, queue.name).apply(
            lambda known: karpenter.values(*known, isolated=inputs.isolated)
        )
        return helm_release(
            self,
            f"{name}-karpenter",
            karpenter.CONTROLLER,
            karpenter.NAMESPACE,
            values,
            [definitions, *identity],
            skip_crds=True,
        )

    def _device_plugins(self, name: str, inputs: AwsNodeProvisionerInputs) -> None:
        gpu_pools = device_plugins.without_gpu_plugin(inputs.pools)
        if gpu_pools:
            helm_release(
                self,
                f"{name}-nvidia",
                device_plugins.NVIDIA,
                karpenter.NAMESPACE,
                device_plugins.nvidia_values(gpu_pools),
            )
        efa_pools = device_plugins.with_efa(inputs.pools)
        if not efa_pools:
            return
        values = device_plugins.efa_values(efa_pools, inputs.region)
        # The security group that EKS makes lets its members reach each other by EFA, both ways (EKS documentation,
        # "View Amazon EKS security group requirements for clusters").
        helm_release(self, f"{name}-efa", device_plugins.EFA, karpenter.NAMESPACE, values)

    def _system_nodes(self, name: str, inputs: AwsNodeProvisionerInputs, after: pulumi.Resource) -> None:
        """Nodes for pods that find no room on the node group."""
        pool = inputs.system_pool
        most = (pool.max - pool.min) * len(inputs.zones)
        if most <= 0:
            return
        machine = catalog.machine_type(AWS.name, pool.machine_type)
        spec = pulumi.Output.all(self.instance_profile, inputs.security_group_id, inputs.subnet_ids).apply(
            lambda known: node_classes.node_class_spec(
                image=AwsNodeImage.AL2023,
                instance_profile=known[0],
                security_group_id=known[1],
                subnet_ids=known[2],
                max_pods=inputs.max_pods_per_node,
                reserved=AWS.kube_reserved(machine, inputs.max_pods_per_node),
                disk_gb=SYSTEM_DISK_GB,
                tags=inputs.tags,
            )
        )
        node_class = node_classes.node_class(self, f"{name}-{SYSTEM}", SYSTEM, spec, after=[after])
        node_classes.node_pool(
            self,
            f"{name}-{SYSTEM}",
            SYSTEM,
            node_classes.node_pool_spec(
                node_class=SYSTEM,
                machine=machine,
                capacity_type=TERMS[Market.ON_DEMAND].capacity_type,
                zones=inputs.zones,
                max_nodes=most,
                idle_minutes=SYSTEM_IDLE_MINUTES,
                packs=True,
            ),
            node_class,
        )
