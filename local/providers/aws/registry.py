"""Repositories of images (ECR)."""

from collections.abc import Mapping
from typing import Any

from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties


class Repository(Kind):
    """A repository."""

    service = "ecr"

    def make(self, id: str, known: Properties) -> str | None:
        """With its settings."""
        scanning = known.get("imageScanningConfiguration") or {}
        encryption = next(iter(known.get("encryptionConfigurations") or ()), None)
        self.ask(
            known,
            "create_repository",
            repositoryName=id,
            imageTagMutability=known.get("imageTagMutability"),
            imageScanningConfiguration={"scanOnPush": bool(scanning.get("scanOnPush"))},
            encryptionConfiguration={
                key: value
                for key, value in (
                    ("encryptionType", encryption.get("encryptionType") or "AES256"),
                    ("kmsKey", encryption.get("kmsKey")),
                )
                if value
            }
            if encryption
            else None,
            tags=tag_list(self.cloud.tags(known)),
        )
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """What can be changed."""
        scanning = bool((known.get("imageScanningConfiguration") or {}).get("scanOnPush"))
        mutability = known.get("imageTagMutability") or "MUTABLE"
        self.ask(known, "put_image_tag_mutability", repositoryName=id, imageTagMutability=mutability)
        self.ask(
            known,
            "put_image_scanning_configuration",
            repositoryName=id,
            imageScanningConfiguration={"scanOnPush": scanning},
        )

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """ARN, registry and URL."""
        found = self.look(known, "describe_repositories", repositoryNames=[id])
        if found is None:
            return None
        repository = found["repositories"][0]
        region = self.cloud.region(known)
        return {
            "arn": repository["repositoryArn"],
            "registryId": self.cloud.account,
            "repositoryUrl": f"{self.cloud.account}.dkr.ecr.{region}.amazonaws.com/{id}",
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """One with images goes only with forceDelete."""
        images = (self.look(outputs, "list_images", repositoryName=id) or {}).get("imageIds")
        if images and not outputs.get("forceDelete"):
            raise AwsError(
                "ecr",
                "DeleteRepository",
                "RepositoryNotEmptyException",
                f"The repository with name '{id}' in registry with id '{self.cloud.account}' cannot be deleted because "
                "it still contains images. Delete them, or set forceDelete and run an update first",
            )
        self.ask(outputs, "delete_repository", repositoryName=id, force=True)


class RepositoryPolicy(Kind):
    """Who may do what with a repository."""

    service = "ecr"

    def make(self, id: str, known: Properties) -> str | None:
        """One a repository."""
        self.ask(known, "set_repository_policy", repositoryName=known["repository"], policyText=known["policy"])
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """As in :meth:`make`."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Whether there is one."""
        found = self.look(known, "get_repository_policy", repositoryName=known["repository"])
        return None if found is None else {"registryId": self.cloud.account}

    def unmake(self, id: str, outputs: Properties) -> None:
        """The repository stays."""
        self.ask(outputs, "delete_repository_policy", repositoryName=outputs["repository"])


class LifecyclePolicy(Kind):
    """Which images go by themselves."""

    service = "ecr"

    def make(self, id: str, known: Properties) -> str | None:
        """One a repository."""
        self.ask(known, "put_lifecycle_policy", repositoryName=known["repository"], lifecyclePolicyText=known["policy"])
        return None

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Whether there is one."""
        found = self.look(known, "get_lifecycle_policy", repositoryName=known["repository"])
        return None if found is None else {"registryId": self.cloud.account}

    def unmake(self, id: str, outputs: Properties) -> None:
        """The repository stays."""
        self.ask(outputs, "delete_lifecycle_policy", repositoryName=outputs["repository"])
