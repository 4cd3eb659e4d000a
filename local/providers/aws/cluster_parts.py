"""Add-ons, access entries and pod identities of EKS clusters. moto has none of them: the plugin's records are all that
there is, but for what an add-on puts into the cluster.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import yaml

from llm_serving.errors import Problem, nearest
from local.cluster import LocalCluster
from local.providers.aws import eks
from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind
from local.providers.properties import Properties


class ClusterPart(Kind):
    """Something of a cluster; it is gone where the cluster is.

    Attributes:
        made: output with the time at which it was made.
    """

    service = "eks"
    made: ClassVar[str] = "createdAt"

    def refuse_create(self, id: str, known: Properties) -> None:
        """The cluster has to be there."""
        self.cluster(known)

    def cluster(self, known: Mapping[str, Any]) -> Mapping[str, Any]:
        """Outputs of the cluster."""
        return eks.refuse_without_cluster(self.cloud, f"Create{self.type.token.rpartition(':')[2]}", known)

    def own(self, id: str, known: Properties) -> Properties:
        """Outputs that follow from the inputs."""
        return {}

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Times, and what follows."""
        moment = now()
        return {self.made: moment, "modifiedAt": moment, **self.own(id, known)}

    def resume(self, id: str, known: Properties, timeout: float) -> Properties:
        """As in :meth:`create`."""
        return self.create(id, known, timeout)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """As in :meth:`create`, with the time at which it was made."""
        kept = {key: outputs[key] for key in self.schema.computed if key in outputs}
        return {**kept, **self.own(id, known), **self.stamps(known, outputs), "modifiedAt": now()}

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """As recorded, while there is the cluster."""
        return outputs if self.cloud.look_up(eks.CLUSTER, str(outputs["clusterName"])) else None

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """The record goes."""

    def short_id(self, *parts: str) -> str:
        """Seventeen hexadecimal digits that depend on the cluster and ``parts`` alone."""
        text = "/".join((self.cloud.account, self.cloud.region({}), *parts))
        return hashlib.sha256(text.encode()).hexdigest()[:17]

    def result(self, id: str, known: Properties, old: Properties, own: Properties) -> Properties:
        """Only what the type has."""
        values = super().result(id, known, old, own)
        return {key: value for key, value in values.items() if key in {*self.schema.outputs, *self.schema.inputs}}


class Addon(ClusterPart):
    """An add-on of Amazon's."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Which there are, and what they are set up with."""
        problems: list[Problem] = []
        name, text = inputs.get("addonName"), inputs.get("configurationValues")
        if isinstance(name, str) and name not in eks.facts()["addons"]:
            reason = "not an add-on that the local AWS knows"
            problems.append(Problem("addonName", name, reason, nearest(name, list(eks.facts()["addons"]))))
        if isinstance(text, str) and text and not eks.is_json_object(text):
            problems.append(Problem("configurationValues", None, "neither a JSON nor a YAML object"))
        version = inputs.get("addonVersion")
        if isinstance(version, str) and "-eksbuild." not in version:
            problems.append(Problem("addonVersion", version, "not a version of an EKS add-on", "v1.2.3-eksbuild.1"))
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """The roles of its service accounts, and a version for this cluster."""
        cluster = self.cluster(known)
        for association in known.get("podIdentityAssociations") or ():
            _refuse_pod_role(self, "CreateAddon", str(association["roleArn"]))
        version = str(known.get("addonVersion") or "")
        # kube-proxy has the version of the cluster (EKS documentation, "Manage kube-proxy").
        if known["addonName"] == "kube-proxy" and version:
            minor = version.removeprefix("v").split("-")[0]
            if eks.release(minor) > eks.release(str(cluster["version"])):
                raise AwsError(
                    "eks",
                    "CreateAddon",
                    "InvalidParameterException",
                    f"Addon version specified is not supported: kube-proxy {version} is newer than the cluster, "
                    f"{cluster['version']}",
                )

    def own(self, id: str, known: Properties) -> Properties:
        """What it puts into the cluster."""
        facts = eks.facts()["addons"][known["addonName"]] or {}
        settings = yaml.safe_load(known.get("configurationValues") or "{}") or {}
        objects = list(facts.get("objects", ()))
        if (settings.get("defaultStorageClass") or {}).get("enabled"):
            objects += facts.get("default_class", ())
        if objects:
            local = LocalCluster(eks.directory(self.cloud, known, str(known["clusterName"])))
            local.start()
            local.apply(objects)
        name = f"{known['clusterName']}/{known['addonName']}/{self.short_id(id)}"
        return {
            "arn": self.arn(known, f"addon/{name}"),
            "addonVersion": known.get("addonVersion") or "",
            "configurationValues": known.get("configurationValues") or "",
        }

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """What it put into the cluster goes, unless it is to stay or the cluster is gone."""
        local = LocalCluster(eks.directory(self.cloud, outputs, str(outputs["clusterName"])))
        facts = eks.facts()["addons"].get(outputs["addonName"]) or {}
        if outputs.get("preserve") or not local.running():
            return
        with local.client() as client:
            for thing in (*facts.get("default_class", ()), *facts.get("objects", ())):
                found = client.find(thing["apiVersion"], thing["kind"], thing["metadata"]["name"])
                if found is not None:
                    client.delete(found)


class AccessEntry(ClusterPart):
    """Somebody of IAM who gets into a cluster."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Roles and users; groups that Kubernetes keeps for itself."""
        problems: list[Problem] = []
        arn = inputs.get("principalArn")
        if isinstance(arn, str) and not (":iam::" in arn and (":role/" in arn or ":user/" in arn)):
            problems.append(
                Problem("principalArn", arn, "not the ARN of a role or a user", "arn:aws:iam::111122223333:role/name")
            )
        groups = inputs.get("kubernetesGroups")
        for index, group in enumerate(groups if isinstance(groups, list) else ()):
            if isinstance(group, str) and group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
                reason = "begins in a way that EKS keeps for itself"
                problems.append(Problem(f"kubernetesGroups[{index}]", group, reason))
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """The cluster takes access entries."""
        mode = (self.cluster(known).get("accessConfig") or {}).get("authenticationMode")
        if mode == "CONFIG_MAP":
            raise AwsError(
                "eks",
                "CreateAccessEntry",
                "InvalidRequestException",
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
                "operation.",
            )

    def own(self, id: str, known: Properties) -> Properties:
        """Its ARN and the name under which Kubernetes knows it."""
        kind = "role" if ":role/" in known["principalArn"] else "user"
        principal = str(known["principalArn"]).rpartition("/")[2]
        path = f"{known['clusterName']}/{kind}/{self.cloud.account}/{principal}/{self.short_id(id)}"
        node = str(known.get("type") or "STANDARD").startswith(("EC2", "FARGATE", "HYBRID", "HYPERPOD"))
        user = "system:node:{{EC2PrivateDNSName}}" if node else known["principalArn"]
        return {
            "accessEntryArn": self.arn(known, f"access-entry/{path}"),
            "userName": known.get("userName") or user,
            "kubernetesGroups": known.get("kubernetesGroups") or (["system:nodes"] if node else []),
        }


class AccessPolicyAssociation(ClusterPart):
    """What somebody may do in a cluster, by a policy of Amazon's."""

    made = "associatedAt"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Policies that there are; namespaces where the scope is one."""
        problems: list[Problem] = []
        arn, scope = inputs.get("policyArn"), inputs.get("accessScope")
        head, names = ":eks::aws:cluster-access-policy/", eks.facts()["access_policies"]
        if isinstance(arn, str) and arn.partition(head)[2] not in names:
            near = nearest(arn.rpartition("/")[2], names).partition(", ")[0] or names[0]
            reason = "not an access policy of EKS"
            problems.append(Problem("policyArn", arn, reason, f"arn:{self.cloud.partition}{head}{near}"))
        if isinstance(scope, Mapping):
            namespaces = scope.get("namespaces")
            if scope.get("type") == "namespace" and not namespaces:
                problems.append(Problem("accessScope.namespaces", None, "required where type is namespace"))
            if scope.get("type") == "cluster" and namespaces:
                problems.append(Problem("accessScope.namespaces", None, "cannot be given where type is cluster"))
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """There is an access entry."""
        self.cluster(known)
        entry = f"{known['clusterName']}:{known['principalArn']}"
        if self.cloud.look_up("aws:eks/accessEntry:AccessEntry", entry) is None:
            raise AwsError(
                "eks",
                "AssociateAccessPolicy",
                "ResourceNotFoundException",
                f"The specified principalArn could not be found: {known['principalArn']} has no access entry in "
                f"{known['clusterName']}",
            )


class PodIdentityAssociation(ClusterPart):
    """The role of the pods of one service account."""

    made = ""

    def refuse_create(self, id: str, known: Properties) -> None:
        """One a service account, and a role that pods may take."""
        self.cluster(known)
        for record in self.cloud.ready(self.type.token):
            same = all(record.inputs.get(key) == known[key] for key in ("clusterName", "namespace", "serviceAccount"))
            if same and record.id != id:
                raise AwsError(
                    "eks",
                    "CreatePodIdentityAssociation",
                    "ResourceInUseException",
                    f"Association already exists: {record.id}",
                )
        _refuse_pod_role(self, "CreatePodIdentityAssociation", str(known["roleArn"]))

    def own(self, id: str, known: Properties) -> Properties:
        """Ids follow from the service account."""
        association = f"a-{self.short_id(*(str(known[key]) for key in ('clusterName', 'namespace', 'serviceAccount')))}"
        return {
            "associationId": association,
            "associationArn": self.arn(known, f"podidentityassociation/{known['clusterName']}/{association}"),
            "externalId": "",
        }

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Its id is that of the association."""
        own = self.own(id, known)
        return {**own, "id": own["associationId"]}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Another role."""
        _refuse_pod_role(self, "UpdatePodIdentityAssociation", str(known["roleArn"]))
        return super().update(id, outputs, known, timeout)


def _refuse_pod_role(kind: Kind, operation: str, arn: str) -> None:
    eks.refuse_role(
        kind.cloud,
        operation,
        arn,
        "pods.eks.amazonaws.com",
        "Role provided in the request does not exist, or it does not trust pods.eks.amazonaws.com",
    )


def now() -> str:
    """The time as the provider writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
