"""The bucket that holds the models' weights, and how pods mount it.

Owns the bucket and its key. Leaves alone who may read or write it (each workload has an identity of its own) and what
lies in it (loaders put it there, release by release).
"""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_gcp as gcp

from llm_serving.cloud.bounded_names import bounded
from llm_serving.cloud.gcp.arguments import ModelCacheArgs
from llm_serving.cloud.gcp.keys import service_key
from llm_serving.cloud.gcp.names import BUCKET_LIMIT
from llm_serving.component import Frozen, child, token, validated
from llm_serving.contract import ModelCacheVolume
from llm_serving.planning.clouds import GCP
from llm_serving.spec.gcp import GcpModelCacheSpec, ProjectId, Region
from llm_serving.spec.names import ClusterName

SECONDS_PER_DAY = 24 * 3600
ABORT_UPLOADS_DAYS = 2
"""A multipart upload that has not ended by then never will; its parts cost money until it is aborted."""

SIDECAR = GCP.cache_sidecar
STORAGE_ANNOTATION = "gke-gcsfuse/ephemeral-storage-request"
"""GKE documentation, "Configure the Cloud Storage FUSE CSI driver sidecar container"."""

MOUNT_OPTIONS = (
    "implicit-dirs",
    # Weights of a release never change: what was once looked up stays true for the life of the pod.
    "metadata-cache:ttl-secs:-1",
    "metadata-cache:stat-cache-max-size-mb:-1",
    "metadata-cache:type-cache-max-size-mb:-1",
    # Files that a loader is still putting there must be seen as soon as they are whole.
    "metadata-cache:negative-ttl-secs:0",
    "file-cache:max-size-mb:-1",
    "file-cache:cache-file-for-range-read:true",
    "file-cache:enable-parallel-downloads:true",
    "read_ahead_kb=1024",
)
"""GKE documentation, "Optimize Cloud Storage FUSE CSI driver performance", profile for AI/ML serving."""


class GcpModelCacheArgs(TypedDict):
    """Arguments of GcpModelCache."""

    project: str
    """Id of the project; the bucket's name begins with it, because such names are unique in the world."""
    region: str
    """Region of the bucket; that of the cluster, or every start pays for traffic between regions."""
    name: str
    """The rest of the bucket's name."""
    cache: NotRequired[ModelCacheArgs]
    """Settings of the model cache."""
    labels: NotRequired[dict[str, str]]
    """Labels of the bucket and its key."""


class GcpModelCacheInputs(Frozen):
    """The validated arguments."""

    project: ProjectId
    region: Region
    name: ClusterName
    cache: GcpModelCacheSpec = GcpModelCacheSpec()
    labels: dict[str, str] = {}


class GcpModelCache(pulumi.ComponentResource):
    """A private bucket, encrypted with a key of its own, that pods mount read-only."""

    bucket_name: pulumi.Output[str]
    """Name of the bucket."""
    bucket_url: pulumi.Output[str]
    """URL of the bucket, `gs://...`."""
    volume: pulumi.Output[dict[str, Any]]
    """How a pod mounts the cache (contract `ModelCacheVolume`)."""

    def __init__(self, name: str, args: GcpModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GcpModelCacheInputs, args, "GcpModelCache", name)
        super().__init__(token("GcpModelCache"), name, None, opts)
        keep = not inputs.cache.force_destroy

        # Asking for the agent also makes it; a new project has none, and a grant to nobody fails.
        agent = gcp.storage.get_project_service_account_output(
            project=inputs.project, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        key, grant = service_key(
            self,
            name,
            purpose="model-cache",
            project=inputs.project,
            region=inputs.region,
            agent=agent.member,
            labels=inputs.labels,
            protect=keep,
        )
        bucket = gcp.storage.Bucket(
            name,
            project=inputs.project,
            name=bounded(inputs.project.replace(":", "-").replace(".", "-"), inputs.name, limit=BUCKET_LIMIT),
            location=inputs.region.upper(),
            storage_class="STANDARD",
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            encryption=gcp.storage.BucketEncryptionArgs(default_kms_key_name=key.id),
            versioning=gcp.storage.BucketVersioningArgs(enabled=True),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                retention_duration_seconds=inputs.cache.soft_delete_days * SECONDS_PER_DAY
            ),
            lifecycle_rules=[
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(
                        days_since_noncurrent_time=inputs.cache.noncurrent_days, with_state="ARCHIVED"
                    ),
                ),
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=ABORT_UPLOADS_DAYS),
                ),
            ],
            force_destroy=inputs.cache.force_destroy,
            labels=inputs.labels,
            opts=child(self, depends_on=[grant], protect=keep),
        )

        self.bucket_name = bucket.name
        self.bucket_url = bucket.url
        self.volume = bucket.name.apply(lambda bucket_name: cache_volume(bucket_name).to_data())
        self.register_outputs({"bucketName": self.bucket_name, "bucketUrl": self.bucket_url, "volume": self.volume})


def cache_volume(bucket: str) -> ModelCacheVolume:
    """The volume of a bucket. GKE adds a sidecar to every pod that mounts it; its sizes are fixed here, so that they
    can be counted when a model is placed. What it caches of the files lies on the node's ephemeral storage."""
    return ModelCacheVolume(
        volume={
            "csi": {
                "driver": "gcsfuse.csi.storage.gke.io",
                "readOnly": True,
                "volumeAttributes": {"bucketName": bucket, "mountOptions": ",".join(MOUNT_OPTIONS)},
            }
        },
        loader_volume={
            "csi": {
                "driver": "gcsfuse.csi.storage.gke.io",
                "volumeAttributes": {"bucketName": bucket, "mountOptions": "implicit-dirs"},
            }
        },
        loader_url=f"gs://{bucket}",
        pod_annotations={
            "gke-gcsfuse/volumes": "true",
            "gke-gcsfuse/cpu-request": f"{SIDECAR.cpu:g}",
            "gke-gcsfuse/cpu-limit": "0",
            "gke-gcsfuse/memory-request": f"{SIDECAR.memory_gib:g}Gi",
            "gke-gcsfuse/memory-limit": f"{SIDECAR.memory_gib:g}Gi",
            STORAGE_ANNOTATION: f"{SIDECAR.storage_gib:g}Gi",
            "gke-gcsfuse/ephemeral-storage-limit": "0",
        },
        sidecar_cpu=SIDECAR.cpu,
        sidecar_memory_gib=SIDECAR.memory_gib,
        sidecar_storage_gib=SIDECAR.storage_gib,
        storage_annotation=STORAGE_ANNOTATION,
        caches_weights=True,
    )
