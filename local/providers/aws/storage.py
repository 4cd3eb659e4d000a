"""Buckets of S3 and what is set on them. Objects and settings are moto's own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from llm_serving.errors import Problem
from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties


class Bucket(Kind):
    """A bucket."""

    service = "s3"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Names that S3 refuses though they have the form of one (S3 documentation, "Bucket naming rules")."""
        name = inputs.get("bucket")
        if not isinstance(name, str):
            return []
        if name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(("-s3alias", "--ol-s3", ".mrap")):
            return [Problem("bucket", name, "begins or ends in a way that S3 keeps for itself")]
        if ".." in name:
            return [Problem("bucket", name, "has two dots side by side")]
        return []

    def make(self, id: str, known: Properties) -> str | None:
        """In its region; us-east-1 is the one that must not be named."""
        region = self.cloud.region(known)
        place = None if region == "us-east-1" else {"LocationConstraint": region}
        if self.look(known, "head_bucket", Bucket=id) is not None:  # S3 of us-east-1 answers 200 to who owns it
            raise AwsError(
                "s3",
                "CreateBucket",
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it",
            )
        self.ask(
            known,
            "create_bucket",
            Bucket=id,
            CreateBucketConfiguration=place,
            ObjectLockEnabledForBucket=known.get("objectLockEnabled"),
        )
        self._tag(id, known)
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Tags."""
        self._tag(id, known)

    def _tag(self, id: str, known: Properties) -> None:
        tags = self.cloud.tags(known)
        if tags:
            self.ask(known, "put_bucket_tagging", Bucket=id, Tagging={"TagSet": tag_list(tags)})
        else:
            self.ask(known, "delete_bucket_tagging", Bucket=id)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its names in DNS."""
        if self.look(known, "head_bucket", Bucket=id) is None:
            return None
        region = self.cloud.region(known)
        return {
            "arn": f"arn:{self.cloud.partition}:s3:::{id}",
            "bucketDomainName": f"{id}.s3.amazonaws.com",
            "bucketRegion": region,
            "bucketRegionalDomainName": f"{id}.s3.{region}.amazonaws.com",
            "requestPayer": "BucketOwner",
        }

    def refuse_delete(self, id: str, outputs: Properties) -> None:
        """A bucket with objects, or versions of them, goes only with forceDestroy."""
        contents = self.look(outputs, "list_object_versions", Bucket=id, MaxKeys=3) or {}
        objects = [item["Key"] for item in (*contents.get("Versions", ()), *contents.get("DeleteMarkers", ()))]
        objects += self.cloud.state_folder.bucket_weights.prefixes(id)
        if objects and not outputs.get("forceDestroy"):
            raise AwsError(
                "s3",
                "DeleteBucket",
                "BucketNotEmpty",
                f"The bucket you tried to delete is not empty ({', '.join(objects[:3])}). You must delete all versions "
                "in the bucket: delete the objects, or set forceDestroy and run an update first",
            )

    def unmake(self, id: str, outputs: Properties) -> None:
        """Its objects go with it."""
        while True:
            found = self.ask(outputs, "list_object_versions", Bucket=id)
            items = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
            if not items:
                break
            objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in items]
            self.ask(outputs, "delete_objects", Bucket=id, Delete={"Objects": objects})
        self.ask(outputs, "delete_bucket", Bucket=id)
        self.cloud.state_folder.bucket_weights.forget(id)


class BucketPart(Kind):
    """A setting of a bucket.

    Attributes:
        part: what boto3 calls it: ``put_<part>``, ``get_<part>``, ``delete_<part>``.
    """

    service = "s3"
    part: ClassVar[str]

    def settings(self, known: Properties) -> dict[str, Any]:
        """Parameters of its ``put``."""
        raise NotImplementedError

    def make(self, id: str, known: Properties) -> str | None:
        """A setting that is there already is written over, as by the provider."""
        self.ask(known, f"put_{self.part}", Bucket=id, **self.settings(known))
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """As in :meth:`make`."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Whether it is set."""
        return None if self.look(known, f"get_{self.part}", Bucket=id) is None else {}

    def unmake(self, id: str, outputs: Properties) -> None:
        """S3's own default is back."""
        self.ask(outputs, f"delete_{self.part}", Bucket=id)


class PublicAccessBlock(BucketPart):
    """Whether objects can be public."""

    part = "public_access_block"

    def settings(self, known: Properties) -> dict[str, Any]:
        """Four switches."""
        keys = ("blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets")
        return {"PublicAccessBlockConfiguration": {key[:1].upper() + key[1:]: bool(known.get(key)) for key in keys}}


class Versioning(BucketPart):
    """Whether old versions are kept."""

    part = "bucket_versioning"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A status."""
        configuration = inputs.get("versioningConfiguration")
        if isinstance(configuration, Mapping) and configuration.get("status") is None:
            return [Problem("versioningConfiguration.status", None, "required", "Enabled")]
        return []

    def settings(self, known: Properties) -> dict[str, Any]:
        """A bucket that never had versions is left alone by ``Disabled``."""
        status = known["versioningConfiguration"]["status"]
        return {"VersioningConfiguration": {"Status": "Suspended" if status == "Disabled" else status}}

    def unmake(self, id: str, outputs: Properties) -> None:
        """It never ends, it is suspended."""
        self.ask(outputs, "put_bucket_versioning", Bucket=id, VersioningConfiguration={"Status": "Suspended"})


class Lifecycle(BucketPart):
    """What becomes of objects with time."""

    part = "bucket_lifecycle_configuration"

    def settings(self, known: Properties) -> dict[str, Any]:
        """Rules as S3's API has them."""
        return {"LifecycleConfiguration": {"Rules": [_lifecycle_rule(rule) for rule in known.get("rules") or ()]}}

    def unmake(self, id: str, outputs: Properties) -> None:
        """boto3 has a shorter word for it."""
        self.ask(outputs, "delete_bucket_lifecycle", Bucket=id)


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"ID": rule.get("id"), "Status": rule["status"]}
    condition = rule.get("filter") or {}
    made["Filter"] = {"Prefix": condition.get("prefix") or rule.get("prefix") or ""}
    if upload := rule.get("abortIncompleteMultipartUpload"):
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": upload["daysAfterInitiation"]}
    if end := rule.get("expiration"):
        names = {"days": "Days", "expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}
        made["Expiration"] = {names[key]: value for key, value in end.items() if key in names and value is not None}
    if end := rule.get("noncurrentVersionExpiration"):
        names = {"noncurrentDays": "NoncurrentDays", "newerNoncurrentVersions": "NewerNoncurrentVersions"}
        made["NoncurrentVersionExpiration"] = {
            names[key]: value for key, value in end.items() if key in names and value is not None
        }
    return {key: value for key, value in made.items() if value is not None}


class Encryption(BucketPart):
    """With which key objects are encrypted."""

    part = "bucket_encryption"

    def settings(self, known: Properties) -> dict[str, Any]:
        """Rules as S3's API has them."""
        rules: list[dict[str, Any]] = []
        for rule in known["rules"]:
            default = rule.get("applyServerSideEncryptionByDefault") or {}
            applied = {"SSEAlgorithm": default.get("sseAlgorithm"), "KMSMasterKeyID": default.get("kmsMasterKeyId")}
            rules.append(
                {
                    "ApplyServerSideEncryptionByDefault": {key: value for key, value in applied.items() if value},
                    "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled")),
                }
            )
        return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


class Policy(BucketPart):
    """Who may do what with it."""

    part = "bucket_policy"

    def settings(self, known: Properties) -> dict[str, Any]:
        """JSON."""
        return {"Policy": known["policy"]}


class OwnershipControls(BucketPart):
    """Who owns what others put there."""

    part = "bucket_ownership_controls"

    def settings(self, known: Properties) -> dict[str, Any]:
        """One rule."""
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": known["rule"]["objectOwnership"]}]}}
