"""The state that all resources of one local AWS account share: the plugin's records, and the account's API (moto)."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from llm_serving.planning.clouds.aws import partition
from local.aws.api import DEFAULT_ACCOUNT, AwsApi
from local.cluster.errors import ClusterError
from local.providers.aws import types
from local.providers.properties import Properties, reveal
from local.providers.provider import CloudError
from local.providers.schema import ResourceType
from local.providers.simulated import cloud
from local.providers.simulated.types import CloudType
from local.providers.store import Phase, Record, Store

__all__ = ["DEFAULT_ACCOUNT", "AwsError", "Cloud"]

SDK = "pulumi_aws"
_SERVICES = {
    "ec2": "EC2", "iam": "IAM", "eks": "EKS", "s3": "S3", "kms": "KMS", "sqs": "SQS", "events": "EventBridge",
    "logs": "CloudWatch Logs", "ecr": "ECR",
}  # fmt: skip
"""Names of services as AWS's Go SDK has them in errors."""


class AwsError(CloudError):
    """A refusal of an API of AWS, in the words of its Go SDK.

    Attributes:
        error_code: for example ``DependencyViolation``.
    """

    def __init__(self, service: str, operation: str, error_code: str, message: str) -> None:
        name = _SERVICES.get(service, service)
        code = grpc.StatusCode.UNKNOWN
        if error_code.endswith(("NotFound", "NotFoundException", "NoSuchEntity")):
            code = grpc.StatusCode.NOT_FOUND
        elif "AlreadyExist" in error_code or error_code == "ResourceInUseException":
            code = grpc.StatusCode.ALREADY_EXISTS
        super().__init__(f"operation error {name}: {operation}, api error {error_code}: {message}", code)
        self.error_code = error_code


@dataclass
class Cloud(cloud.Cloud[CloudType]):
    """Records, settings, types and API of one account.

    Attributes:
        account: its number.
    """

    name = "aws"
    package = SDK
    places = ("region",)

    account: str = DEFAULT_ACCOUNT
    _api: AwsApi | None = None
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def store(self) -> Store:
        """The records of the account in the provider's region: names are unique within both."""
        return self.store_in(self.state_folder.aws_account(self.account) / self.region({}))

    @property
    def partition(self) -> str:
        """The partition of the provider's region."""
        return partition(self.region({}))

    def region(self, known: Mapping[str, Any]) -> str:
        """Where a resource is.

        Raises:
            CloudError: neither the resource nor the provider says it.
        """
        region = known.get("region") or self.settings.get("region")
        if not region:
            raise CloudError(
                "Missing region configuration: set the provider's region (`pulumi config set aws:region ...`) or "
                "AWS_REGION",
                grpc.StatusCode.INVALID_ARGUMENT,
            )
        return str(region)

    def type(self, token: str) -> CloudType:
        """Our view of a type."""
        if token not in types.entries():
            raise CloudError(
                f"{token}: the local AWS does not have this type; it has {', '.join(types.type_tokens())}",
                grpc.StatusCode.UNIMPLEMENTED,
            )
        return types.described(token)

    def placed(self, schema: ResourceType, inputs: Mapping[str, Any]) -> Properties:
        """``inputs`` in the clear, with the region."""
        known = reveal(dict(inputs))
        known.pop("__defaults", None)
        if "region" in schema.inputs:
            known["region"] = self.region(known)
        return known

    def tags(self, known: Mapping[str, Any]) -> dict[str, str]:
        """The tags that a resource gets: the provider's and its own."""
        default = (self.settings.get("defaultTags") or {}).get("tags") or {}
        return {**default, **(known.get("tags") or {})}

    # The API

    def ask(self, service: str, operation: str, region: str, **parameters: Any) -> dict[str, Any]:
        """Ask the account's API, which is started if need be. ``operation`` is boto3's word (``create_vpc``).

        Raises:
            AwsError: it refuses.
            CloudError: it does not come up.
        """
        words = "".join(part.capitalize() for part in operation.split("_"))
        try:
            return getattr(self._client(service, region), operation)(**parameters)
        except ClientError as error:
            told = error.response.get("Error", {})
            raise AwsError(service, words, str(told.get("Code")), str(told.get("Message"))) from None
        except ParamValidationError as error:
            raise AwsError(service, words, "InvalidParameterValue", str(error)) from None
        except (BotoCoreError, ClusterError) as error:
            raise CloudError(f"the local AWS does not answer {words}: {error}") from None

    def _client(self, service: str, region: str) -> Any:
        with self._guard:
            if self._api is None:
                self._api = self.state_folder.aws_api(self.account)
                self._api.start()
            if (service, region) not in self._clients:
                self._clients[service, region] = self._api.client(service, region)
            return self._clients[service, region]

    # What it answers

    def look_up(self, token: str, reference: str, place: Mapping[str, Any] | None = None) -> Record | None:
        """By id, ARN or name."""
        exact = self.store.get(token, reference)
        if exact is not None:
            return exact if exact.phase in (Phase.READY, Phase.DELETING) else None
        return next((record for record in self.ready(token) if reference in _references(record)), None)

    def refers(self, reference: str, user: Record, record: Record) -> bool:
        """By id, ARN or name."""
        return reference == record.id or reference in _references(record)

    def missing(self, type: CloudType, path: str, reference: str, token: str) -> CloudError:
        """As the API names what is not there."""
        kind = token.rpartition(":")[2]
        code = "NoSuchBucket" if kind == "Bucket" else "ResourceNotFoundException"
        return AwsError(
            token.split(":")[1].partition("/")[0],
            f"Create{type.token.rpartition(':')[2]}",
            code,
            f"The specified {kind.lower()} does not exist: {reference} ({type.token} names it in {path}). Create it "
            "first, and pass its output instead of its name",
        )

    def in_use(self, type: CloudType, record: Record, user: Record) -> CloudError:
        """As EKS and EC2 say it."""
        kind = type.token.rpartition(":")[2]
        return AwsError(
            type.token.split(":")[1].partition("/")[0],
            f"Delete{kind}",
            "DependencyViolation",
            f"The {kind.lower()} '{record.id}' has dependencies and cannot be deleted: {user.id} uses it",
        )

    def gone(self, id: str) -> CloudError:
        """A resource that Pulumi knows and AWS does not."""
        return CloudError(
            f"couldn't find resource: {id} was deleted outside of Pulumi. Run `pulumi refresh`, then the update again",
            grpc.StatusCode.NOT_FOUND,
        )

    def taken(self, type: CloudType, urn: str, record: Record) -> CloudError:
        """A name that is in use."""
        service, kind = type.token.split(":")[1].partition("/")[0], type.token.rpartition(":")[2]
        code = {
            "iam": "EntityAlreadyExists", "eks": "ResourceInUseException", "s3": "BucketAlreadyOwnedByYou",
            "kms": "AlreadyExistsException", "ecr": "RepositoryAlreadyExistsException",
        }.get(service, "ResourceAlreadyExistsException")  # fmt: skip
        if record.busy:
            who = f"another update is creating or deleting it right now ({record.urn})"
        else:
            who = "it belongs to " + (
                "the resource that is being replaced"
                if record.urn == urn
                else f"{record.urn}. Use another name, or `pulumi import` it"
            )
        return AwsError(service, f"Create{kind}", code, f"{kind} {record.id} already exists; {who}")


def _references(record: Record) -> tuple[Any, ...]:
    return (record.outputs.get("arn"), record.outputs.get("name"))
