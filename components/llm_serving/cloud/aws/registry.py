"""The registry of container images.

Owns which roles may pull from it, and, where it is asked to, the repositories. Leaves alone the images and who pushes
them: pipelines have identities of their own. A repository of ECR holds one image, so a registry is a prefix of names.
"""

import json
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from llm_serving.cloud.aws import policies
from llm_serving.cloud.aws.names import partition
from llm_serving.component import Frozen, child, token, validated
from llm_serving.planning.clouds.aws import repository_url
from llm_serving.spec.aws import AccountId, Region
from llm_serving.spec.names import ClusterName, DnsLabel

UNTAGGED_DAYS = 30


class AwsRegistryArgs(TypedDict):
    """Arguments of AwsRegistry."""

    account: str
    """Number of the account whose registry it is."""
    region: str
    """Region of the registry."""
    name: str
    """What the names of its repositories begin with, before `/`."""
    readers: NotRequired[list[pulumi.Input[str]]]
    """Names of the roles that may pull: those of nodes."""
    create: NotRequired[list[str]]
    """Images to make a repository for; those that are there already are not named."""
    pull_through: NotRequired[str]
    """Prefix of a pull-through rule, which is there already; `readers` may pull what it brings."""
    tags: NotRequired[dict[str, str]]
    """Tags of the repositories."""


class AwsRegistryInputs(Frozen):
    """The validated arguments."""

    account: AccountId
    region: Region
    name: ClusterName
    readers: tuple[Any, ...] = ()
    create: tuple[DnsLabel, ...] = ()
    pull_through: ClusterName | None = None
    tags: dict[str, str] = {}


class AwsRegistry(pulumi.ComponentResource):
    """Repositories whose tags never move, made or only opened for their readers."""

    repository_url: pulumi.Output[str]
    """Host and path in front of an image's name."""

    def __init__(self, name: str, args: AwsRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsRegistryInputs, args, "AwsRegistry", name)
        super().__init__(token("AwsRegistry"), name, None, opts)

        repositories = [_repository(self, name, inputs, image) for image in inputs.create]
        registry = f"arn:{partition(inputs.region)}:ecr:{inputs.region}:{inputs.account}:repository"
        document = policies.pull_images(
            [f"{registry}/{inputs.name}/*"], [f"{registry}/{inputs.pull_through}/*"] if inputs.pull_through else []
        )
        grants = [
            aws.iam.RolePolicy(
                f"{name}-reader-{index}",
                role=reader,
                policy=json.dumps(document),
                opts=child(self),
            )
            for index, reader in enumerate(inputs.readers)
        ]

        # Whoever pulls waits for the right to: a pod that starts too early backs off for minutes.
        url = repository_url(inputs.account, inputs.region, inputs.name)
        ready = [resource.id for resource in (*repositories, *grants)]
        self.repository_url = pulumi.Output.all(*ready).apply(lambda _: url)
        self.register_outputs({"repositoryUrl": self.repository_url})


def _repository(registry: AwsRegistry, name: str, inputs: AwsRegistryInputs, image: str) -> aws.ecr.LifecyclePolicy:
    repository = aws.ecr.Repository(
        f"{name}-{image}",
        name=f"{inputs.name}/{image}",
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
        tags=inputs.tags,
        opts=child(registry),
    )
    return aws.ecr.LifecyclePolicy(
        f"{name}-{image}",
        repository=repository.name,
        policy=json.dumps(untagged_images_end()),
        opts=child(registry),
    )


def untagged_images_end() -> dict[str, Any]:
    """A lifecycle policy of ECR that spares all that has a tag: a rollback may reach back as far as it likes."""
    selection = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": UNTAGGED_DAYS,
    }
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": "Images without a tag",
                "selection": selection,
                "action": {"type": "expire"},
            }
        ]
    }
