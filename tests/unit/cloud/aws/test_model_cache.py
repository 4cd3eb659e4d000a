import json
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.aws import AwsModelCache
from llm_serving.cloud.aws.names import bucket_name
from llm_serving.contract import ModelCacheVolume
from llm_serving.planning.clouds import AWS
from tests.unit.cloud.aws.environment import ACCOUNT, OUTPUTS, REGION, model_cache, model_volume
from tests.unit.recording import Recorded, Recording, record

SETTINGS = [
    "BucketOwnershipControls", "BucketPublicAccessBlock", "BucketServerSideEncryptionConfiguration", "BucketVersioning",
    "BucketLifecycleConfiguration", "BucketPolicy",
]  # fmt: skip


def test_nothing_in_the_bucket_can_be_public() -> None:
    recording = model_cache()
    block = recording.one("BucketPublicAccessBlock")
    flags = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert [block[flag] for flag in flags] == [True] * 4
    assert recording.one("BucketOwnershipControls")["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_weights_are_encrypted_with_a_key_of_our_own() -> None:
    recording = model_cache()
    (rule,) = recording.one("BucketServerSideEncryptionConfiguration")["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": recording.output("keyArn"),
    }
    assert rule["bucketKeyEnabled"] is True
    assert recording.one("kms/key:Key")["enableKeyRotation"] is True


def test_a_mistake_can_be_taken_back_and_old_versions_end() -> None:
    recording = model_cache(noncurrent_days=5)
    assert recording.one("BucketVersioning")["versioningConfiguration"] == {"status": "Enabled"}
    rules = {rule["id"]: rule for rule in recording.one("BucketLifecycleConfiguration")["rules"]}
    assert rules["noncurrent"]["noncurrentVersionExpiration"] == {"noncurrentDays": 5}
    assert rules["uploads"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 2}
    assert {rule["status"] for rule in rules.values()} == {"Enabled"}
    # A rule of a current object's age would delete weights that are in use.
    assert not [rule for rule in rules.values() if "days" in rule.get("expiration", {})]


def test_the_bucket_is_reached_over_tls_and_by_this_account_alone() -> None:
    recording = model_cache()
    statements = json.loads(recording.one("BucketPolicy")["policy"])["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Deny"}
    arn = recording.output("bucketArn")
    assert all(statement["Resource"] == [arn, f"{arn}/*"] for statement in statements)
    assert recording.depends_on(recording.one("BucketPolicy"), recording.one("BucketPublicAccessBlock"))


@pytest.mark.parametrize("force", [True, False])
def test_bucket_and_key_are_protected_unless_they_may_go(force: bool) -> None:
    recording = model_cache(force_destroy=force)
    bucket = recording.one("s3/bucket:Bucket")
    assert bucket["forceDestroy"] is force
    assert bucket.protect is recording.one("kms/key:Key").protect is not force


def test_the_bucket_has_the_name_of_account_cluster_and_region() -> None:
    recording = model_cache()
    assert recording.output("bucketName") == bucket_name(ACCOUNT, REGION, "prod")
    assert recording.output("bucketUrl") == f"s3://{bucket_name(ACCOUNT, REGION, 'prod')}"


@pytest.mark.parametrize("output", ["bucket_name", "bucket_arn", "bucket_url"])
def test_whoever_has_the_bucket_finds_it_closed_and_encrypting(output: str) -> None:
    def program() -> None:
        ours = AwsModelCache("cache", {"account": ACCOUNT, "region": REGION, "name": "prod"})
        aws.ssm.Parameter("later", type="String", value=getattr(ours, output))

    recording = record(program, outputs=OUTPUTS)
    assert all(recording.depends_on(recording.one(name="later"), recording.one(kind)) for kind in SETTINGS)


# --- volumes


def persistent(recording: Recording, purpose: str) -> tuple[Recorded, Recorded]:
    return recording.one("PersistentVolume", f"chat-{purpose}"), recording.one(
        "PersistentVolumeClaim", f"chat-{purpose}"
    )


def attributes(volume: Recorded) -> dict[str, Any]:
    values: dict[str, Any] = volume["spec.csi.volumeAttributes"]
    return values


@pytest.mark.parametrize("purpose", ["read", "write"])
def test_each_pod_mounts_the_bucket_with_its_own_rights(purpose: str) -> None:
    volume, _ = persistent(model_volume(), purpose)
    assert volume["spec.csi.driver"] == "s3.csi.aws.com"
    assert attributes(volume)["bucketName"] == "weights"
    assert attributes(volume)["authenticationSource"] == "pod"
    assert "allow-other" in volume["spec.mountOptions"]


@pytest.mark.parametrize("purpose", ["read", "write"])
def test_nothing_looks_for_the_region_where_pods_cannot_reach(purpose: str) -> None:
    volume, _ = persistent(model_volume(), purpose)
    assert attributes(volume)["stsRegion"] == REGION
    assert f"region {REGION}" in volume["spec.mountOptions"]


def test_engines_cannot_write() -> None:
    recording = model_volume()
    volume, claim = persistent(recording, "read")
    assert volume["spec.accessModes"] == claim["spec.accessModes"] == ["ReadOnlyMany"]
    assert "read-only" in volume["spec.mountOptions"]
    mounted = recording.output("volume")["volume"]["persistentVolumeClaim"]
    assert mounted == {"claimName": claim["metadata.name"], "readOnly": True}


def test_a_job_that_writes_mounts_another_volume() -> None:
    recording = model_volume()
    volume, claim = persistent(recording, "write")
    assert "read-only" not in volume["spec.mountOptions"]
    assert {"allow-delete", "dir-mode 0777"} <= set(volume["spec.mountOptions"])
    mounted = recording.output("volume")["loaderVolume"]["persistentVolumeClaim"]
    assert mounted == {"claimName": claim["metadata.name"]}
    assert recording.output("volume")["loaderUrl"] == "s3://weights"


def test_a_node_caches_weights_and_no_more_than_is_said() -> None:
    reading, writing = (persistent(model_volume(cache_gib=80), purpose)[0] for purpose in ("read", "write"))
    assert attributes(reading)["cache"] == "emptyDir"
    assert attributes(reading)["cacheEmptyDirSizeLimit"] == "80Gi"
    assert "cache" not in attributes(writing)


def test_planning_counts_the_pod_that_the_driver_starts() -> None:
    recording = model_volume()
    values = attributes(persistent(recording, "read")[0])
    volume = ModelCacheVolume.model_validate(recording.output("volume"))
    assert values["mountpointContainerResourcesRequestsCpu"] == f"{volume.sidecar_cpu:g}"
    assert values["mountpointContainerResourcesRequestsMemory"] == f"{volume.sidecar_memory_gib:g}Gi"
    assert values["mountpointContainerResourcesLimitsMemory"] == f"{volume.sidecar_memory_gib:g}Gi"
    assert (volume.sidecar_cpu, volume.sidecar_memory_gib, volume.caches_weights) == (
        AWS.cache_sidecar.cpu,
        AWS.cache_sidecar.memory_gib,
        True,
    )


@pytest.mark.parametrize("purpose", ["read", "write"])
def test_a_volume_is_for_its_claim_alone(purpose: str) -> None:
    volume, claim = persistent(model_volume(), purpose)
    assert volume["spec.claimRef.name"] == claim["metadata.name"]
    assert volume["spec.claimRef.namespace"] == claim["metadata.namespace"] == "chat"
    assert claim["spec.volumeName"] == volume["metadata.name"] == volume["spec.csi.volumeHandle"]
    assert claim["spec.storageClassName"] == ""
    # Of a volume the API server drops an empty one, and a refresh would find it gone.
    assert volume.get("spec.storageClassName") is None


def test_another_cache_is_another_volume_to_which_pods_move() -> None:
    """A volume of Kubernetes never changes; the names of both change with what is in them."""

    def names(recording: Recording) -> set[str]:
        return {each["metadata.name"] for each in persistent(recording, "read")}

    assert names(model_volume(cache_gib=80)).isdisjoint(names(model_volume(cache_gib=90)))
    assert names(model_volume(cache_gib=80)) == names(model_volume(cache_gib=80))


def test_volumes_of_two_teams_are_told_apart() -> None:
    handles = {
        persistent(model_volume(namespace=team), purpose)[0]["spec.csi.volumeHandle"]
        for team in ("chat", "search")
        for purpose in ("read", "write")
    }
    assert len(handles) == 4


@pytest.mark.parametrize(("args", "path"), [({"cache_gib": 0}, "cacheGib"), ({"region": "us-east-1a"}, "region")])
def test_wrong_arguments_of_a_volume_are_refused_with_their_path(args: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        model_volume(**args)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]
