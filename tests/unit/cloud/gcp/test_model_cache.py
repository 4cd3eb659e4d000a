import pytest
from pulumi.errors import InputPropertiesError

from tests.unit.cloud.gcp.environment import LABELS, model_cache

BUCKET = "storage/bucket:Bucket"


def test_nothing_in_the_bucket_can_become_public() -> None:
    bucket = model_cache().one(BUCKET)
    assert bucket["publicAccessPrevention"] == "enforced"
    assert bucket["uniformBucketLevelAccess"] is True


def test_weights_are_encrypted_with_a_key_that_the_bucket_may_use_before_it_exists() -> None:
    recording = model_cache()
    bucket, key = recording.one(BUCKET), recording.one("kms/cryptoKey:CryptoKey")
    grant = recording.one("kms/cryptoKeyIAMMember:CryptoKeyIAMMember")
    assert bucket["encryption.defaultKmsKeyName"] == key.outputs["id"]
    assert grant["role"] == "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    assert grant["member"].endswith("@gs-project-accounts.iam.gserviceaccount.com")
    assert recording.depends_on(bucket, grant)


def test_bucket_and_key_are_in_the_same_region() -> None:
    recording = model_cache()
    assert recording.one(BUCKET)["location"].lower() == recording.one("kms/keyRing:KeyRing")["location"]


def test_kms_keys_are_protected() -> None:
    recording = model_cache()
    assert recording.one("kms/cryptoKey:CryptoKey").protect
    assert recording.one("kms/keyRing:KeyRing").protect


def test_weights_are_protected_unless_the_environment_may_lose_them() -> None:
    kept, disposable = model_cache().one(BUCKET), model_cache(force_destroy=True)
    assert (kept.protect, kept["forceDestroy"]) == (True, False)
    assert disposable.one(BUCKET)["forceDestroy"] is True
    assert not [resource for resource in disposable if resource.protect]


def test_overwritten_weights_can_be_restored_for_a_while() -> None:
    bucket = model_cache(soft_delete_days=30, noncurrent_days=3).one(BUCKET)
    assert bucket["versioning.enabled"] is True
    assert bucket["softDeletePolicy.retentionDurationSeconds"] == 30 * 24 * 3600
    assert {"daysSinceNoncurrentTime": 3, "withState": "ARCHIVED"} in [
        rule["condition"] for rule in bucket["lifecycleRules"] if rule["action"]["type"] == "Delete"
    ]


def test_no_rule_deletes_what_is_current() -> None:
    for rule in model_cache().one(BUCKET)["lifecycleRules"]:
        if rule["action"]["type"] == "Delete":
            assert rule["condition"]["withState"] == "ARCHIVED"


def test_uploads_that_broke_off_cost_nothing_for_long() -> None:
    actions = [rule["action"]["type"] for rule in model_cache().one(BUCKET)["lifecycleRules"]]
    assert "AbortIncompleteMultipartUpload" in actions


def test_pods_mount_the_cache_read_only() -> None:
    csi = model_cache().output("volume")["volume"]["csi"]
    assert csi["driver"] == "gcsfuse.csi.storage.gke.io"
    assert csi["readOnly"] is True
    assert csi["volumeAttributes"]["bucketName"] == "test-project-models"


def test_what_the_sidecar_asks_for_is_what_the_planner_counts() -> None:
    volume = model_cache().output("volume")
    annotations = volume["podAnnotations"]
    assert annotations["gke-gcsfuse/volumes"] == "true"
    assert float(annotations["gke-gcsfuse/cpu-request"]) == volume["sidecarCpu"]
    assert annotations["gke-gcsfuse/memory-request"] == f"{volume['sidecarMemoryGib']}Gi"
    assert annotations["gke-gcsfuse/memory-limit"] == annotations["gke-gcsfuse/memory-request"]


def test_volume_is_known_in_a_preview() -> None:
    assert model_cache(preview=True).output("volume")["volume"]["csi"]


def test_bucket_and_key_carry_the_labels_of_the_bill() -> None:
    recording = model_cache()
    assert recording.one(BUCKET)["labels"] == LABELS
    assert recording.one("kms/cryptoKey:CryptoKey")["labels"] == LABELS


def test_a_soft_delete_that_cloud_storage_does_not_offer_is_refused_with_its_path() -> None:
    with pytest.raises(InputPropertiesError) as caught:
        model_cache(soft_delete_days=3)
    assert [error["property_path"] for error in (caught.value.errors or [])] == ["cache.softDeleteDays"]


def test_soft_delete_can_be_switched_off() -> None:
    assert model_cache(soft_delete_days=0).one(BUCKET)["softDeletePolicy.retentionDurationSeconds"] == 0
