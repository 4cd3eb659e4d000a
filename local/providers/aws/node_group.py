"""Managed node groups: moto's record, and simulated nodes in the local cluster."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_serving.errors import Problem, ProblemsError
from local.aws.capacity import Capacity, Machine
from local.cluster import ClusterError, LocalCluster
from local.providers.aws import eks
from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind
from local.providers.aws.nodes import DEFAULT_DISK_GB, DEFAULT_TYPE, GroupShape, Template
from local.providers.properties import UNKNOWN, Properties
from local.providers.provider import CloudError

_WAIT = 300.0


class NodeGroup(Kind):
    """A managed node group."""

    service = "eks"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Sizes that contradict each other, and settings that a launch template takes over."""
        problems: list[Problem] = []
        sizes = inputs.get("scalingConfig")
        if isinstance(sizes, Mapping):
            least, wanted, most = (sizes.get(key) for key in ("minSize", "desiredSize", "maxSize"))
            for key, value, bound, other in (
                ("minSize", least, wanted, "desiredSize"),
                ("desiredSize", wanted, most, "maxSize"),
            ):
                if isinstance(value, int) and isinstance(bound, int) and value > bound:
                    problems.append(Problem(f"scalingConfig.{key}", value, f"greater than {other}, which is {bound}"))
            if most == 0 and most is not UNKNOWN:
                problems.append(Problem("scalingConfig.maxSize", 0, "less than 1"))
        template = inputs.get("launchTemplate")
        if isinstance(template, Mapping):
            problems += [
                Problem(key, None, "cannot be given with launchTemplate, which says it")
                for key in ("diskSize", "remoteAccess")
                if inputs.get(key) is not None
            ]
            if (template.get("id") is None) == (template.get("name") is None):
                problems.append(Problem("launchTemplate.id", None, "exactly one of id and name has to be given"))
        update = inputs.get("updateConfig")
        if isinstance(update, Mapping):
            given = [key for key in ("maxUnavailable", "maxUnavailablePercentage") if update.get(key) is not None]
            if len(given) != 1:
                reason = "exactly one of maxUnavailable and maxUnavailablePercentage has to be given"
                problems.append(Problem("updateConfig", None, reason))
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """Roles, versions, machines and capacity."""
        cluster = eks.refuse_without_cluster(self.cloud, "CreateNodegroup", known)
        version = str(known.get("version") or cluster["version"])
        if eks.release(version) > eks.release(str(cluster["version"])):
            raise AwsError(
                "eks",
                "CreateNodegroup",
                "InvalidParameterException",
                f"Requested Nodegroup version {version} is newer than the cluster's, {cluster['version']}",
            )
        eks.refuse_role(
            self.cloud,
            "CreateNodegroup",
            str(known["nodeRoleArn"]),
            "ec2.amazonaws.com",
            "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of "
            "nodeRole",
        )
        self._refuse_capacity(id, self._shape(known), 0)

    def make(self, id: str, known: Properties) -> str | None:
        """moto's record, then nodes."""
        template = {key: str(value) for key, value in (known.get("launchTemplate") or {}).items() if value is not None}
        self.ask(
            known,
            "create_nodegroup",
            clusterName=known["clusterName"],
            nodegroupName=known["nodeGroupName"],
            scalingConfig=known["scalingConfig"],
            subnets=known["subnetIds"],
            nodeRole=known["nodeRoleArn"],
            amiType=known.get("amiType"),
            capacityType=known.get("capacityType"),
            instanceTypes=known.get("instanceTypes"),
            diskSize=known.get("diskSize"),
            labels=known.get("labels"),
            taints=known.get("taints"),
            launchTemplate=template or None,
            version=known.get("version"),
            tags=self.cloud.tags(known),
        )
        return None

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Wait until the nodes are ready, as the provider does."""
        self.make(id, known)
        return self._realize(id, known, timeout)

    def resume(self, id: str, known: Properties, timeout: float) -> Properties:
        """A record that is there already is enough."""
        if self._found(known) is None:
            self.make(id, known)
        return self._realize(id, known, timeout)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Sizes, labels, taints and versions; nodes whose machine changes are replaced one by one."""
        shape = self._shape(known)
        before = int((outputs.get("scalingConfig") or {}).get("desiredSize") or 0)
        self._refuse_capacity(id, shape, before)
        self.ask(
            known,
            "update_nodegroup_config",
            clusterName=known["clusterName"],
            nodegroupName=known["nodeGroupName"],
            scalingConfig=known["scalingConfig"],
        )
        return {**self._realize(id, known, timeout), **self.stamps(known, outputs)}

    def unmake(self, id: str, outputs: Properties) -> None:
        """Nodes are drained; a group of a cluster that is gone is gone too."""
        cluster, name = str(outputs["clusterName"]), str(outputs["nodeGroupName"])
        local = LocalCluster(eks.directory(self.cloud, outputs, cluster))
        if local.exists():
            try:
                local.delete_pool(name, _WAIT)
            except ClusterError as error:
                raise CloudError(f"deleting EKS Node Group ({id}): {error}") from None
        self.ask(outputs, "delete_nodegroup", clusterName=cluster, nodegroupName=name)

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """A group without a record, or without a pool in the cluster, does not exist."""
        local = LocalCluster(eks.directory(self.cloud, outputs, str(outputs["clusterName"])))
        pools = {pool.name for pool in local.pools()} if local.exists() else set[str]()
        found = self._found(outputs) is not None and outputs["nodeGroupName"] in pools
        return outputs if found else None

    def _found(self, known: Mapping[str, Any]) -> dict[str, Any] | None:
        names = {"clusterName": known["clusterName"], "nodegroupName": known["nodeGroupName"]}
        return self.look(known, "describe_nodegroup", **names)

    def _realize(self, id: str, known: Properties, timeout: float) -> Properties:
        shape = self._shape(known)
        local = LocalCluster(eks.directory(self.cloud, known, str(known["clusterName"])))
        try:
            local.start()
            local.put_pool(shape.node_pool())
            local.wait_pool(shape.name, timeout or _WAIT)
        except ClusterError as error:
            raise CloudError(f"waiting for EKS Node Group ({id}): {error}") from None
        found = (self._found(known) or {}).get("nodegroup") or {}
        cluster = eks.refuse_without_cluster(self.cloud, "DescribeNodegroup", known)
        version = str(known.get("version") or cluster["version"])
        groups = (found.get("resources") or {}).get("autoScalingGroups") or ()
        return {
            "arn": found.get("nodegroupArn") or self.arn(known, f"nodegroup/{id.replace(':', '/')}"),
            "status": "ACTIVE",
            "resources": [
                {
                    "autoscalingGroups": [{"name": item["name"]} for item in groups],
                    "remoteAccessSecurityGroupId": "",
                }
            ],
            "amiType": shape.image,
            "capacityType": "SPOT" if shape.spot else known.get("capacityType") or "ON_DEMAND",
            "instanceTypes": known.get("instanceTypes") or [DEFAULT_TYPE],
            "diskSize": known.get("diskSize") or (0 if known.get("launchTemplate") else DEFAULT_DISK_GB),
            "version": version,
            "releaseVersion": known.get("releaseVersion") or f"{version}.0-20261101",
            "updateConfig": known.get("updateConfig") or {"maxUnavailable": 1},
        }

    def _shape(self, known: Properties) -> GroupShape:
        ids = list(known["subnetIds"])
        subnets = self.cloud.ask("ec2", "describe_subnets", self.cloud.region(known), SubnetIds=ids)["Subnets"]
        template = self._template(known)
        gpu = str(known.get("amiType") or "AL2023_x86_64_STANDARD")
        return GroupShape(
            cluster=str(known["clusterName"]),
            name=str(known["nodeGroupName"]),
            machine_type=str(
                next(iter(known.get("instanceTypes") or ()), template.data.get("InstanceType") or DEFAULT_TYPE)
            ),
            zones=tuple(sorted({subnet["AvailabilityZone"] for subnet in subnets})),
            count=int(known["scalingConfig"]["desiredSize"]),
            spot=known.get("capacityType") == "SPOT",
            image=gpu,
            labels=known.get("labels") or {},
            taints=known.get("taints") or (),
            disk_gb=int(known.get("diskSize") or template.disk_gb or DEFAULT_DISK_GB),
            template=template,
        )

    def _template(self, known: Properties) -> Template:
        given: Mapping[str, Any] = known.get("launchTemplate") or {}
        if not given:
            return Template()
        which = {"LaunchTemplateId": given["id"]} if given.get("id") else {"LaunchTemplateName": given["name"]}
        versions = self.cloud.ask(
            "ec2",
            "describe_launch_template_versions",
            self.cloud.region(known),
            Versions=[str(given.get("version") or "$Default")],
            **which,
        )["LaunchTemplateVersions"]
        if not versions:
            version = given.get("version")
            raise AwsError(
                "eks",
                "CreateNodegroup",
                "InvalidParameterException",
                f"Launch template {next(iter(which.values()))} has no version {version}",
            )
        return Template.of(versions[0]["LaunchTemplateData"])

    def _refuse_capacity(self, id: str, shape: GroupShape, have: int) -> None:
        """What ``capacity.yaml`` says is missing, for the machines that are added, zone by zone."""
        machine = shape.machine
        file = self.cloud.state_folder.aws_api(self.cloud.account).capacity
        if not file.exists() or shape.count <= have:
            return
        try:
            capacity = Capacity.parse(file.read_text(encoding="utf-8"), str(file))
        except ProblemsError as error:
            raise CloudError(str(error)) from None
        market = "spot" if shape.spot else "on-demand"
        running: list[Machine] = []
        for number in range(shape.count):
            zone = shape.zones[number % len(shape.zones)]
            wanted = Machine(machine.name, zone, market, int(machine.vcpus))
            refused = capacity.refusal(wanted, running)
            if refused and number >= have:
                self._fail(id, shape, refused)
            running.append(wanted)

    def _fail(self, id: str, shape: GroupShape, refused: Sequence[str]) -> None:
        kind = "Spot" if shape.spot else "On-Demand"
        raise CloudError(
            f"waiting for EKS Node Group ({id}) create: unexpected state 'CREATE_FAILED', wanted target 'ACTIVE'. last "
            f"error: AsgInstanceLaunchFailures: Could not launch {kind} Instances. {refused[0]} - {refused[1]}. "
            "Launching EC2 instance failed."
        )
