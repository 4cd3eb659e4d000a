"""The registry of container images.

Owns the repository and who may read it. Leaves alone the images and who pushes them: pipelines have identities of their
own.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp

from llm_serving.component import Frozen, child, token, validated
from llm_serving.planning.clouds.gcp import repository_url
from llm_serving.spec.gcp import ProjectId, Region
from llm_serving.spec.names import ClusterName

READER = "roles/artifactregistry.reader"
STREAMER = "roles/serviceusage.serviceUsageConsumer"
"""What a node account of one's own needs on the project of the images, or they are pulled instead of streamed (GKE
documentation, "Use Image streaming to pull container images", requirements)."""
KEEP_VERSIONS = 20
"""Versions of each image that stay whatever their age: more than a rollback reaches back."""
UNTAGGED_SECONDS = 30 * 24 * 3600


class GcpRegistryArgs(TypedDict):
    """Arguments of GcpRegistry."""

    project: str
    """Id of the project."""
    region: str
    """Region of the repository; image streaming works from the cluster's own region."""
    name: str
    """Name of the repository."""
    readers: NotRequired[list[pulumi.Input[str]]]
    """Emails of the service accounts that may pull and stream: those of nodes."""
    labels: NotRequired[dict[str, str]]
    """Labels of the repository."""
    create: NotRequired[bool]
    """Make the repository; false where it is there already, and only `readers` get their roles."""
    pull_through: NotRequired[str]
    """Name of a remote repository beside it, which is there already and opened for `readers` too."""


class GcpRegistryInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    region: Region
    name: ClusterName
    readers: tuple[Any, ...] = ()
    labels: dict[str, str] = {}
    create: bool = True
    pull_through: ClusterName | None = None


class GcpRegistry(pulumi.ComponentResource):
    """A repository whose tags never move, made or only opened for its readers."""

    repository_url: pulumi.Output[str]
    """Host and path in front of an image's name."""

    def __init__(self, name: str, args: GcpRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpRegistryInputs, args, "GcpRegistry", name)
        super().__init__(token("GcpRegistry"), name, None, opts)

        repository: pulumi.Input[str] = _repository(self, name, inputs) if inputs.create else inputs.name
        opened: dict[str, pulumi.Input[str]] = {f"{name}-reader": repository}
        if inputs.pull_through is not None:
            opened[f"{name}-pull-through-reader"] = inputs.pull_through
        grants: list[gcp.artifactregistry.RepositoryIamMember | gcp.projects.IAMMember] = [
            gcp.artifactregistry.RepositoryIamMember(
                f"{grant}-{index}",
                project=inputs.project,
                location=inputs.region,
                repository=opened_repository,
                role=READER,
                member=pulumi.Output.concat("serviceAccount:", reader),
                opts=child(self),
            )
            for grant, opened_repository in opened.items()
            for index, reader in enumerate(inputs.readers)
        ]
        grants += [
            gcp.projects.IAMMember(
                f"{name}-streamer-{index}",
                project=inputs.project,
                role=STREAMER,
                member=pulumi.Output.concat("serviceAccount:", reader),
                opts=child(self),
            )
            for index, reader in enumerate(inputs.readers)
        ]

        # Whoever pulls waits for the right to: a pod that starts too early backs off for minutes.
        url = repository_url(inputs.region, inputs.project, inputs.name)
        self.repository_url = pulumi.Output.all(repository, *[grant.role for grant in grants]).apply(lambda _: url)
        self.register_outputs({"repositoryUrl": self.repository_url})


def _repository(registry: GcpRegistry, name: str, inputs: GcpRegistryInputs) -> pulumi.Output[str]:
    repository = gcp.artifactregistry.Repository(
        name,
        project=inputs.project,
        location=inputs.region,
        repository_id=inputs.name,
        description="Images of inference engines and what stands around them",
        format="DOCKER",
        mode="STANDARD_REPOSITORY",
        docker_config=gcp.artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
        vulnerability_scanning_config=gcp.artifactregistry.RepositoryVulnerabilityScanningConfigArgs(
            enablement_config="INHERITED"
        ),
        cleanup_policy_dry_run=False,
        cleanup_policies=[
            gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                id="keep-recent",
                action="KEEP",
                most_recent_versions=gcp.artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
                    keep_count=KEEP_VERSIONS
                ),
            ),
            gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                id="delete-untagged",
                action="DELETE",
                condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                    tag_state="UNTAGGED", older_than=f"{UNTAGGED_SECONDS}s"
                ),
            ),
        ],
        labels=inputs.labels,
        opts=child(registry),
    )
    return repository.repository_id
