"""The bucket that holds the models' weights, and how pods of a team mount it.

Owns the bucket and its key, and the volumes of a team with their claims. Leaves alone who may read or write the bucket
(each workload has an identity of its own) and what lies in it (loaders put it there, release by release).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi_kubernetes import core, meta
from pydantic import Field

from llm_serving.cloud.aws import policies
from llm_serving.cloud.aws.arguments import AwsModelCacheSettingsArgs
from llm_serving.cloud.aws.keys import service_key
from llm_serving.cloud.aws.names import bucket_name, partition
from llm_serving.cloud.bounded_names import bounded, digest
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import ModelCacheVolume
from llm_serving.planning.clouds import AWS
from llm_serving.spec.aws import AccountId, AwsModelCacheSpec, Region
from llm_serving.spec.names import ClusterName

ABORT_UPLOADS_DAYS = 2
"""A multipart upload that has not ended by then never will; its parts cost money until it is aborted."""

DRIVER = "s3.csi.aws.com"
CLAIM = "model-cache"
VOLUME_SIZE = "1Ti"
"""Kubernetes wants one, and the driver ignores it (mountpoint-s3-csi-driver, ``docs/CONFIGURATION.md``)."""
OBJECT_NAME_LIMIT = 253
"""Kubernetes documentation, "Object Names and IDs", DNS subdomain names."""

THROUGHPUT_GBPS = 100
"""Network of one card of the largest GPU instances, for which Mountpoint then sends as many requests at once as it
takes. With identities of pods it does not look up the instance, and assumes 10 (mountpoint-s3-csi-driver,
``docs/MEMORY.md``)."""

SIDECAR = AWS.cache_sidecar


class AwsModelCacheArgs(TypedDict):
    """Arguments of AwsModelCache."""

    account: str
    """Number of the account; the bucket's name begins with it, because such names are unique in the world."""
    region: str
    """Region of the bucket; that of the cluster, or every start pays for traffic between regions."""
    name: str
    """Name of the cluster; a part of the bucket's name."""
    cache: NotRequired[AwsModelCacheSettingsArgs]
    """Settings of the model cache."""
    tags: NotRequired[dict[str, str]]
    """Tags of the bucket and its key."""


class AwsModelCacheInputs(Frozen):
    """The validated arguments."""

    account: AccountId
    region: Region
    name: ClusterName
    cache: AwsModelCacheSpec = AwsModelCacheSpec()
    tags: dict[str, str] = {}


class AwsModelCache(pulumi.ComponentResource):
    """A private bucket, encrypted with a key of its own."""

    bucket_name: pulumi.Output[str]
    """Name of the bucket."""
    bucket_arn: pulumi.Output[str]
    """ARN of the bucket."""
    bucket_url: pulumi.Output[str]
    """URL of the bucket, `s3://...`."""
    key_arn: pulumi.Output[str]
    """ARN of the key of AWS KMS with which its objects are encrypted."""

    def __init__(self, name: str, args: AwsModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsModelCacheInputs, args, "AwsModelCache", name)
        super().__init__(token("AwsModelCache"), name, None, opts)
        keep = not inputs.cache.force_destroy

        key = service_key(
            self, name, description=f"Weights of the models of {inputs.name}", tags=inputs.tags, protect=keep
        )
        physical = bucket_name(inputs.account, inputs.region, inputs.name)
        bucket = aws.s3.Bucket(
            name,
            bucket=physical,
            force_destroy=inputs.cache.force_destroy,
            tags=inputs.tags,
            opts=child(self, protect=keep),
        )
        settings = self._settings(name, inputs, bucket, key, f"arn:{partition(inputs.region)}:s3:::{physical}")

        # Nothing is written before it would be encrypted, and nothing before nobody else can read it.
        ready = pulumi.Output.all(bucket.bucket, *[setting.id for setting in settings])
        self.bucket_name = ready.apply(lambda known: str(known[0]))
        self.bucket_arn = pulumi.Output.all(bucket.arn, ready).apply(lambda known: str(known[0]))
        self.bucket_url = self.bucket_name.apply(lambda known: f"s3://{known}")
        self.key_arn = key.arn
        self.register_outputs(
            {
                "bucketName": self.bucket_name,
                "bucketArn": self.bucket_arn,
                "bucketUrl": self.bucket_url,
                "keyArn": self.key_arn,
            }
        )

    def _settings(
        self, name: str, inputs: AwsModelCacheInputs, bucket: aws.s3.Bucket, key: aws.kms.Key, arn: str
    ) -> list[pulumi.CustomResource]:
        owners = aws.s3.BucketOwnershipControls(
            name,
            bucket=bucket.bucket,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=child(self),
        )
        block = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child(self),
        )
        encryption = aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="aws:kms", kms_master_key_id=key.arn
                        )
                    ),
                    # One request to KMS for many objects.
                    bucket_key_enabled=True,
                )
            ],
            opts=child(self),
        )
        versions = aws.s3.BucketVersioning(
            name,
            bucket=bucket.bucket,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child(self),
        )
        lifecycle = aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="noncurrent",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    noncurrent_version_expiration=(
                        aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                            noncurrent_days=inputs.cache.noncurrent_days
                        )
                    ),
                    # What is left of a deleted object once its versions are gone.
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
                ),
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="uploads",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    abort_incomplete_multipart_upload=(
                        aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                            days_after_initiation=ABORT_UPLOADS_DAYS
                        )
                    ),
                ),
            ],
            # S3 counts noncurrent days only of a bucket that has versions.
            opts=child(self, depends_on=[versions]),
        )
        policy = aws.s3.BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=pulumi.Output.json_dumps(policies.bucket(arn, inputs.account)),
            # S3 refuses two changes of a bucket's access at a time ("OperationAborted").
            opts=child(self, depends_on=[block, owners]),
        )
        return [owners, block, encryption, versions, lifecycle, policy]


class AwsModelVolumeArgs(TypedDict):
    """Arguments of AwsModelVolume."""

    region: str
    """Region of the bucket."""
    name: str
    """Name of the cluster; names of what is made begin with it."""
    namespace: pulumi.Input[str]
    """Namespace of the pods that mount the volume."""
    bucket_name: pulumi.Input[str]
    """Bucket that holds the weights."""
    cache_gib: int
    """Most that a node caches of the weights of one model, in GiB of its ephemeral storage."""


class AwsModelVolumeInputs(Frozen):
    """The validated arguments."""

    region: Region
    name: ClusterName
    namespace: Any
    bucket_name: Any
    cache_gib: Annotated[int, Field(ge=1)]


class AwsModelVolume(pulumi.ComponentResource):
    """A bucket as pods of one namespace mount it, with Mountpoint for Amazon S3, each with its own rights."""

    volume: pulumi.Output[dict[str, Any]]
    """The cache as pods mount it (contract `ModelCacheVolume`)."""

    def __init__(self, name: str, args: AwsModelVolumeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(AwsModelVolumeInputs, args, "AwsModelVolume", name)
        super().__init__(token("AwsModelVolume"), name, None, opts)
        reading = self._claim(name, inputs, _Mount("read", "ReadOnlyMany", reading_options(inputs.region), True))
        writing = self._claim(name, inputs, _Mount("write", "ReadWriteMany", writing_options(inputs.region), False))
        self.volume = pulumi.Output.all(inputs.bucket_name, reading, writing).apply(
            lambda known: cache_volume(*known).to_data()
        )
        self.register_outputs({"volume": self.volume})

    def _claim(self, name: str, inputs: AwsModelVolumeInputs, mount: "_Mount") -> pulumi.Output[str]:
        """Name of the claim that pods name, once it is there."""
        attributes = volume_attributes(inputs.region, inputs.cache_gib if mount.is_cached else None)
        # A volume never changes. Another one has another name, and pods move to it before the old one goes.
        tail = digest([mount.options, attributes, mount.access_mode])
        claim = f"{CLAIM}-{mount.purpose}-{tail}"
        volume_name = pulumi.Output.from_input(inputs.namespace).apply(
            lambda namespace: bounded(inputs.name, namespace, claim, limit=OBJECT_NAME_LIMIT)
        )
        volume = core.v1.PersistentVolume(
            f"{name}-{mount.purpose}",
            metadata=meta.v1.ObjectMetaArgs(name=volume_name),
            spec=core.v1.PersistentVolumeSpecArgs(
                capacity={"storage": VOLUME_SIZE},
                access_modes=[mount.access_mode],
                persistent_volume_reclaim_policy="Retain",
                mount_options=list(mount.options),
                claim_ref=core.v1.ObjectReferenceArgs(
                    api_version="v1", kind="PersistentVolumeClaim", namespace=inputs.namespace, name=claim
                ),
                csi=core.v1.CSIPersistentVolumeSourceArgs(
                    driver=DRIVER,
                    # Two volumes with one handle are one to the kubelet.
                    volume_handle=volume_name,
                    volume_attributes={"bucketName": inputs.bucket_name, **attributes},
                ),
            ),
            opts=child(self),
        )
        made = core.v1.PersistentVolumeClaim(
            f"{name}-{mount.purpose}",
            metadata=meta.v1.ObjectMetaArgs(name=claim, namespace=inputs.namespace),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=[mount.access_mode],
                storage_class_name="",
                volume_name=volume.metadata.apply(lambda metadata: metadata.name or ""),
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": VOLUME_SIZE}),
            ),
            opts=child(self),
        )
        return made.metadata.apply(lambda metadata: metadata.name or claim)


@dataclass(frozen=True)
class _Mount:
    """One way to mount the bucket."""

    purpose: Literal["read", "write"]
    access_mode: str
    options: tuple[str, ...]
    is_cached: bool


def reading_options(region: str) -> tuple[str, ...]:
    """Mount options of engines (github.com/awslabs/mountpoint-s3, ``doc/CONFIGURATION.md``)."""
    return (
        "read-only",
        # Mountpoint runs as a user of its own, engines as another.
        "allow-other",
        f"region {region}",
        f"maximum-throughput-gbps {THROUGHPUT_GBPS}",
        # Weights of a release never change: what was once looked up stays true for the life of the mount.
        "metadata-ttl indefinite",
        # Files that a loader is still putting there must be seen as soon as they are whole.
        "negative-metadata-ttl minimal",
    )


def writing_options(region: str) -> tuple[str, ...]:
    """Mount options of Jobs that put files beside the weights. Whoever they run as may write: IAM says who may."""
    return ("allow-other", "allow-delete", f"region {region}", "dir-mode 0777", "file-mode 0666")


def volume_attributes(region: str, cache_gib: int | None) -> dict[str, str]:
    """How the driver mounts: as the pod that asks and not as itself, so that each pod has its own rights, with a limit
    for what it caches on the node (``docs/CONFIGURATION.md``, ``docs/CACHING.md`` of the driver)."""
    cache = {} if cache_gib is None else {"cache": "emptyDir", "cacheEmptyDirSizeLimit": f"{cache_gib}Gi"}
    memory = f"{SIDECAR.memory_gib:g}Gi"
    return {
        "authenticationSource": "pod",
        # The metadata service, where the driver would look, is a hop too far.
        "stsRegion": region,
        **cache,
        "mountpointContainerResourcesRequestsCpu": f"{SIDECAR.cpu:g}",
        "mountpointContainerResourcesRequestsMemory": memory,
        "mountpointContainerResourcesLimitsMemory": memory,
    }


def cache_volume(bucket: str, reading_claim: str, writing_claim: str) -> ModelCacheVolume:
    """The volume of a bucket. The driver runs Mountpoint in a pod of its own, on the node of each pod that mounts it;
    its sizes are fixed here, so that they can be counted when a model is placed."""
    return ModelCacheVolume(
        volume={"persistentVolumeClaim": {"claimName": reading_claim, "readOnly": True}},
        loader_volume={"persistentVolumeClaim": {"claimName": writing_claim}},
        loader_url=f"s3://{bucket}",
        sidecar_cpu=SIDECAR.cpu,
        sidecar_memory_gib=SIDECAR.memory_gib,
        sidecar_storage_gib=SIDECAR.storage_gib,
        caches_weights=SIDECAR.caches_weights,
    )
