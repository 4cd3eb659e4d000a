"""The kinds of the types of the local AWS: how each is made in the account's API, found there, changed and removed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from local.providers.aws.cloud import AwsError, Cloud
from local.providers.properties import Properties, reveal
from local.providers.schema import ResourceType
from local.providers.simulated import kinds
from local.providers.simulated.types import CloudType

_MODULES = {
    "aws:ec2/vpc:Vpc": "network:Vpc",
    "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation": "network:SecondRange",
    "aws:ec2/subnet:Subnet": "network:Subnet",
    "aws:ec2/internetGateway:InternetGateway": "network:InternetGateway",
    "aws:ec2/routeTable:RouteTable": "network:RouteTable",
    "aws:ec2/route:Route": "network:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "network:RouteTableAssociation",
    "aws:ec2/eip:Eip": "network:Address",
    "aws:ec2/natGateway:NatGateway": "network:NatGateway",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "network:Endpoint",
    "aws:ec2/flowLog:FlowLog": "network:FlowLog",
    "aws:ec2/securityGroup:SecurityGroup": "security_groups:SecurityGroup",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "security_groups:DefaultSecurityGroup",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "security_groups:IngressRule",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "security_groups:EgressRule",
    "aws:ec2/tag:Tag": "machines:Tag",
    "aws:ec2/launchTemplate:LaunchTemplate": "machines:LaunchTemplate",
    "aws:ec2/placementGroup:PlacementGroup": "machines:PlacementGroup",
    "aws:iam/role:Role": "iam:Role",
    "aws:iam/rolePolicy:RolePolicy": "iam:RolePolicy",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "iam:RolePolicyAttachment",
    "aws:iam/policy:Policy": "iam:Policy",
    "aws:iam/instanceProfile:InstanceProfile": "iam:InstanceProfile",
    "aws:eks/cluster:Cluster": "cluster:Cluster",
    "aws:eks/nodeGroup:NodeGroup": "node_group:NodeGroup",
    "aws:eks/addon:Addon": "cluster_parts:Addon",
    "aws:eks/accessEntry:AccessEntry": "cluster_parts:AccessEntry",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": "cluster_parts:AccessPolicyAssociation",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "cluster_parts:PodIdentityAssociation",
    "aws:s3/bucket:Bucket": "storage:Bucket",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "storage:PublicAccessBlock",
    "aws:s3/bucketVersioning:BucketVersioning": "storage:Versioning",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "storage:Lifecycle",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "storage:Encryption",
    "aws:s3/bucketPolicy:BucketPolicy": "storage:Policy",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "storage:OwnershipControls",
    "aws:kms/key:Key": "keys:Key",
    "aws:kms/alias:Alias": "keys:Alias",
    "aws:sqs/queue:Queue": "messages:Queue",
    "aws:sqs/queuePolicy:QueuePolicy": "messages:QueuePolicy",
    "aws:cloudwatch/eventRule:EventRule": "messages:EventRule",
    "aws:cloudwatch/eventTarget:EventTarget": "messages:EventTarget",
    "aws:cloudwatch/logGroup:LogGroup": "messages:LogGroup",
    "aws:ecr/repository:Repository": "registry:Repository",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "registry:RepositoryPolicy",
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": "registry:LifecyclePolicy",
}
"""Type -> module and class, imported when the first resource of the type is seen."""


class Kind(kinds.Kind[Cloud, CloudType]):
    """The operations of one type.

    Subclasses say how a thing is made (:meth:`make`), what the API says of it (:meth:`live`), how it is changed
    (:meth:`change`) and removed (:meth:`unmake`). Records are the API's own where it has the thing.

    Attributes:
        service: of AWS, as boto3 names it.
    """

    service: ClassVar[str]

    def ask(self, known: Mapping[str, Any], operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Ask the API; parameters without a value are left out."""
        given = {key: value for key, value in parameters.items() if value is not None}
        return self.cloud.ask(self.service, operation, self.cloud.region(known), **given)

    def look(self, known: Mapping[str, Any], operation: str, /, **parameters: Any) -> dict[str, Any] | None:
        """Ask for something that need not be there."""
        try:
            return self.ask(known, operation, **parameters)
        except AwsError as error:
            if is_absent(error):
                return None
            raise

    def make(self, id: str, known: Properties) -> str | None:
        """Make the thing; the id that AWS drew, if it did."""
        return None

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """What the API says of the thing, as outputs; ``None`` where it has none."""
        return {}

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Make the thing be as asked for."""

    def unmake(self, id: str, outputs: Properties) -> None:
        """Remove the thing."""

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Make it, and say what the API says of it."""
        drawn = self.make(id, known) or id
        return {**(self.live(drawn, known) or {}), "id": drawn}

    def resume(self, id: str, known: Properties, timeout: float) -> Properties:
        """What is there already is brought up to date."""
        found = self.live(id, known)
        if found is None:
            return self.create(id, known, timeout)
        return {**self.update(id, found, known, timeout), "id": id}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Change it, and say what the API says of it."""
        if self.live(id, known) is None:
            raise self.cloud.gone(id)
        self.change(id, outputs, known)
        found = self.live(id, known) or {}
        kept = {key: outputs[key] for key in self.schema.computed if key in outputs}
        return {**kept, **found, **self.stamps(known, outputs)}

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """Remove it; one that is gone is no error."""
        try:
            self.unmake(id, outputs)
        except AwsError as error:
            if not is_absent(error):
                raise

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """As the API has it now."""
        found = self.live(id, reveal(outputs))
        return None if found is None else {**outputs, **found}

    def stamps(self, known: Properties, old: Properties) -> Properties:
        """Tags with the provider's, region and owner."""
        values: Properties = {}
        if "tagsAll" in self.schema.outputs:
            values["tagsAll"] = self.cloud.tags(known)
        if "ownerId" in self.schema.computed:
            values["ownerId"] = self.cloud.account
        return values

    def arn(self, known: Mapping[str, Any], resource: str) -> str:
        """The ARN of a regional resource of this kind's service."""
        region = self.cloud.region(known)
        return f"arn:{self.cloud.partition}:{self.service}:{region}:{self.cloud.account}:{resource}"


def is_absent(error: AwsError) -> bool:
    """Whether the API says that there is no such thing."""
    code = error.error_code
    return (
        "NotFound" in code
        or code.startswith("NoSuch")
        or code.endswith((".NotFound", ".Unknown", "NonExistentQueue", "DoesNotExist"))
        or code == "404"
    )


def titled(value: Any) -> Any:
    """Properties in the spelling of AWS's own APIs: ``cidrBlock`` as ``CidrBlock``, at every depth."""
    if isinstance(value, Mapping):
        return {key[:1].upper() + key[1:]: titled(item) for key, item in value.items()}
    return [titled(item) for item in value] if isinstance(value, list) else value


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most APIs take them."""
    return [{key: name, value: text} for name, text in tags.items()]


def kind_of(cloud: Cloud, type: CloudType, schema: ResourceType) -> Kind:
    """The kind of a type."""
    module, name = _MODULES[type.token].split(":")
    return getattr(import_module(f"local.providers.aws.{module}"), name)(cloud, type, schema)
