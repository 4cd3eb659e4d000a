"""EKS clusters: moto's record, and a real control plane on this machine, reached under a name like the cloud's own.

Not simulated: Auto Mode and Outposts (refused), upgrades of a running control plane (the version is recorded), the
rights of access entries, and the difference between networks: this machine counts as inside of the cluster's network.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.cluster import ClusterError, LocalCluster
from local.providers import host_names
from local.providers.aws import eks
from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind
from local.providers.properties import Properties, reveal
from local.providers.provider import CloudError


class Cluster(Kind):
    """A cluster with its control plane, its security group, and its interfaces in the subnets."""

    service = "eks"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """What the provider and EKS refuse by the settings alone."""
        problems: list[Problem] = []
        compute = inputs.get("computeConfig")
        if isinstance(compute, Mapping) and compute.get("enabled") is True:
            problems.append(Problem("computeConfig.enabled", True, "the local AWS has no EKS Auto Mode", "false"))
        if inputs.get("outpostConfig") is not None:
            problems.append(Problem("outpostConfig", None, "the local AWS has no Outposts"))
        network = inputs.get("vpcConfig")
        if isinstance(network, Mapping):
            private, public = network.get("endpointPrivateAccess"), network.get("endpointPublicAccess")
            if public is False and private is not True:
                reason = "private or public access is needed to reach the control plane"
                problems.append(Problem("vpcConfig.endpointPrivateAccess", private, reason, "true"))
            if public is False and network.get("publicAccessCidrs"):
                reason = "cannot be given where endpointPublicAccess is false"
                problems.append(Problem("vpcConfig.publicAccessCidrs", None, reason))
        return problems

    def replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
        """Secrets that are encrypted stay so (customdiff of eks/cluster.go)."""
        return (
            frozenset({"encryptionConfig"})
            if old.get("encryptionConfig") and not new.get("encryptionConfig")
            else (frozenset())
        )

    def refuse_create(self, id: str, known: Properties) -> None:
        """Roles, subnets and versions that EKS refuses."""
        eks.refuse_role(
            self.cloud,
            "CreateCluster",
            str(known["roleArn"]),
            "eks.amazonaws.com",
            "The role could not be assumed because it does not exist or the trusted entity is not correct",
        )
        self._refuse_version(str(known.get("version") or self._default()))
        zones = {subnet["AvailabilityZone"] for subnet in self._subnets(known)}
        if len(zones) < 2:
            raise AwsError(
                "eks",
                "CreateCluster",
                "InvalidParameterException",
                f"Subnets specified must be in at least two different AZs; they are in {', '.join(sorted(zones))}",
            )

    def make(self, id: str, known: Properties) -> str | None:
        """moto's record first, then what EKS puts into the VPC, then the control plane."""
        network = known["vpcConfig"]
        subnets = self._subnets(known)
        self.ask(
            known,
            "create_cluster",
            name=id,
            version=str(known.get("version") or self._default()),
            roleArn=known["roleArn"],
            resourcesVpcConfig={
                key: value
                for key, value in network.items()
                if key in ("subnetIds", "securityGroupIds", "endpointPublicAccess", "endpointPrivateAccess",
                           "publicAccessCidrs") and value is not None
            },
            kubernetesNetworkConfig={"serviceIpv4Cidr": self._services(known)},
            tags=self.cloud.tags(known),
        )  # fmt: skip
        vpc = subnets[0]["VpcId"]
        self._security_group(id, known, vpc)
        self._interfaces(id, known, subnets)
        self._control_plane(id, known)
        return None

    def resume(self, id: str, known: Properties, timeout: float) -> Properties:
        """What an interrupted create left is removed first: none of it can have been used."""
        if self.look(known, "describe_cluster", name=id) is not None:
            self._unmake(id, known)
        return self.create(id, known, timeout)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """moto's record with what is ours: moto knows no control plane."""
        found = self.look(known, "describe_cluster", name=id)
        local = LocalCluster(eks.directory(self.cloud, known, id))
        if found is None or not local.exists():
            return None
        cluster = found["cluster"]
        network, access = dict(known["vpcConfig"]), known.get("accessConfig") or {}
        subnets = self._subnets(known)
        group = self._find_security_group(id, known)
        issuer = f"https://oidc.eks.{self.cloud.region(known)}.amazonaws.com/id/{self._uid(id, known).upper()}"
        return {
            "arn": self.arn(known, f"cluster/{id}"),
            "clusterId": "",
            "createdAt": cluster["createdAt"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "status": "ACTIVE",
            "platformVersion": "eks.1",
            "version": str(known.get("version") or cluster["version"]),
            "endpoint": f"https://{self._host(id, known)}",
            "certificateAuthority": {"data": base64.b64encode(local.endpoint().ca_pem.encode()).decode()},
            "identities": [{"oidcs": [{"issuer": issuer}]}],
            "vpcConfig": {
                "endpointPrivateAccess": False,
                "endpointPublicAccess": True,
                **network,
                "publicAccessCidrs": network.get("publicAccessCidrs") or ["0.0.0.0/0"],
                "clusterSecurityGroupId": group,
                "vpcId": subnets[0]["VpcId"] if subnets else "",
            },
            "accessConfig": {
                "authenticationMode": "CONFIG_MAP",
                "bootstrapClusterCreatorAdminPermissions": True,
                **access,
            },
            "kubernetesNetworkConfig": {
                "ipFamily": "ipv4",
                **(known.get("kubernetesNetworkConfig") or {}),
                "serviceIpv4Cidr": self._services(known),
            },
            "upgradePolicy": known.get("upgradePolicy") or {"supportType": "EXTENDED"},
        }

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Settings; a control plane that does not run is started."""
        before, wanted = str(outputs.get("version") or ""), str(known.get("version") or "")
        if wanted and before and wanted != before:
            self._refuse_version(wanted)
            if eks.release(wanted)[1] - eks.release(before)[1] != 1:
                raise AwsError(
                    "eks",
                    "UpdateClusterVersion",
                    "InvalidParameterException",
                    f"Unsupported Kubernetes minor version update from {before} to {wanted}",
                )
        mode = (known.get("accessConfig") or {}).get("authenticationMode")
        was = (outputs.get("accessConfig") or {}).get("authenticationMode")
        order = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
        if mode and was and order.index(mode) < order.index(was):
            raise AwsError(
                "eks",
                "UpdateClusterConfig",
                "InvalidParameterException",
                f"Unsupported authentication mode update from {was} to {mode}",
            )
        self._start(id, known)

    def refuse_delete(self, id: str, outputs: Properties) -> None:
        """EKS guards a protected cluster, and one that has nodes."""
        if outputs.get("deletionProtection"):
            raise AwsError(
                "eks",
                "DeleteCluster",
                "InvalidRequestException",
                f"Deletion protection is enabled on cluster {id}. Set deletionProtection to false and run an update "
                "first",
            )
        groups = (self.look(outputs, "list_nodegroups", clusterName=id) or {}).get("nodegroups")
        if groups:
            raise AwsError(
                "eks",
                "DeleteCluster",
                "ResourceInUseException",
                f"Cluster has nodegroups attached: {', '.join(groups)}",
            )

    def unmake(self, id: str, outputs: Properties) -> None:
        """Everything of it goes: names, processes, folder, interfaces, security group."""
        self._unmake(id, outputs)

    def _unmake(self, id: str, known: Mapping[str, Any]) -> None:
        directory = eks.directory(self.cloud, known, id)
        host_names.unregister(host_names.of(directory, self.cloud.state_folder), self.cloud.state_folder)
        LocalCluster(directory).delete()
        ec2, region = "ec2", self.cloud.region(known)
        filters = [{"Name": "description", "Values": [f"Amazon EKS {id}"]}]
        found = self.cloud.ask(ec2, "describe_network_interfaces", region, Filters=filters)["NetworkInterfaces"]
        for interface in found:
            self.cloud.ask(ec2, "delete_network_interface", region, NetworkInterfaceId=interface["NetworkInterfaceId"])
        if group := self._find_security_group(id, known):
            self.cloud.ask(ec2, "delete_security_group", region, GroupId=group)
        self.look(known, "delete_cluster", name=id)

    # Parts

    def _refuse_version(self, version: str) -> None:
        versions = eks.facts()["versions"]
        if version not in versions:
            raise AwsError(
                "eks",
                "CreateCluster",
                "InvalidParameterException",
                f"unsupported Kubernetes version {version} (try: {', '.join(versions)})",
            )

    def _default(self) -> str:
        return str(eks.facts()["versions"][1])

    def _services(self, known: Mapping[str, Any]) -> str:
        """EKS takes the range that the VPC does not have."""
        given = (known.get("kubernetesNetworkConfig") or {}).get("serviceIpv4Cidr")
        if given:
            return str(given)
        vpc = next((subnet["CidrBlock"] for subnet in self._subnets(known)), "")
        return "172.20.0.0/16" if vpc.startswith("10.") else "10.100.0.0/16"

    def _subnets(self, known: Mapping[str, Any]) -> list[dict[str, Any]]:
        ids = list(known["vpcConfig"]["subnetIds"])
        return self.cloud.ask("ec2", "describe_subnets", self.cloud.region(known), SubnetIds=ids)["Subnets"]

    def _security_group(self, id: str, known: Mapping[str, Any], vpc: str) -> None:
        """The one that EKS gives control plane and nodes (EKS documentation, "View security group requirements")."""
        region, name = self.cloud.region(known), f"eks-cluster-sg-{id}"
        group = self.cloud.ask(
            "ec2",
            "create_security_group",
            region,
            GroupName=name,
            Description="EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, "
            "as well as any managed workloads.",
            VpcId=vpc,
        )["GroupId"]
        tags = {"Name": name, f"kubernetes.io/cluster/{id}": "owned", "aws:eks:cluster-name": id}
        pairs = [{"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")]
        self.cloud.ask("ec2", "create_tags", region, Resources=[group], Tags=pairs)
        everything = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        # What goes out needs a rule of its own for EFA, whose traffic has no addresses.
        for direction in ("ingress", "egress"):
            self.cloud.ask(
                "ec2", f"authorize_security_group_{direction}", region, GroupId=group, IpPermissions=everything
            )

    def _find_security_group(self, id: str, known: Mapping[str, Any]) -> str:
        filters = [{"Name": "tag:Name", "Values": [f"eks-cluster-sg-{id}"]}]
        groups = self.cloud.ask("ec2", "describe_security_groups", self.cloud.region(known), Filters=filters)
        return next((str(group["GroupId"]) for group in groups["SecurityGroups"]), "")

    def _interfaces(self, id: str, known: Mapping[str, Any], subnets: list[dict[str, Any]]) -> None:
        """EKS has interfaces in up to four subnets: none of them can go before the cluster."""
        group = self._find_security_group(id, known)
        for subnet in subnets[:4]:
            self.cloud.ask(
                "ec2",
                "create_network_interface",
                self.cloud.region(known),
                SubnetId=subnet["SubnetId"],
                Description=f"Amazon EKS {id}",
                Groups=[group],
            )

    def _control_plane(self, id: str, known: Properties) -> None:
        directory = eks.directory(self.cloud, known, id)
        local = LocalCluster(directory)
        try:
            local.create(
                kubernetes_version=str(known.get("version") or self._default()),
                admission_plugins=eks.ADMISSION_PLUGINS,
                bucket_weights=self.cloud.state_folder.bucket_weights.folder,
            )
            local.apply(eks.facts()["cluster"])
            host_names.register(self._host(id, known), directory, self.cloud.state_folder)
            if note := local.version_note():
                self.cloud.engine.info(f"{id}: {note}")
        except ClusterError as error:
            self._unmake(id, known)
            raise CloudError(f"creating EKS Cluster ({id}): {error}") from None

    def _start(self, id: str, known: Properties) -> None:
        try:
            LocalCluster(eks.directory(self.cloud, known, id)).start()
        except ClusterError as error:
            raise CloudError(f"updating EKS Cluster ({id}): {error}") from None

    def _uid(self, id: str, known: Mapping[str, Any]) -> str:
        return hashlib.sha256(f"{self.cloud.account}/{self.cloud.region(known)}/{id}".encode()).hexdigest()[:32]

    def _host(self, id: str, known: Mapping[str, Any]) -> str:
        return f"{self._uid(id, reveal(known))}.gr7.{self.cloud.region(known)}.eks.amazonaws.com"
