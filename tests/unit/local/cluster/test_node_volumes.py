"""Which claims get a folder, and what their volume says."""

from pathlib import Path

import pytest

from local.cluster.disks import is_done_with
from local.cluster.node.provisioner import PROVISIONER, STORAGE_CLASS, refusal, volume_for, waits


def claim(**spec):
    base = {"storageClassName": STORAGE_CLASS, "accessModes": ["ReadWriteMany"]}
    base["resources"] = {"requests": {"storage": "5Gi"}}
    return {"metadata": {"name": "c", "namespace": "n", "uid": "1-2"}, "spec": {**base, **spec}}


def test_only_claims_of_our_class_that_have_nothing_wait():
    assert waits(claim())
    assert not waits(claim(storageClassName="premium"))
    assert not waits(claim(volumeName="pv"))
    leaving = claim()
    leaving["metadata"]["deletionTimestamp"] = "now"
    assert not waits(leaving)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"volumeMode": "Block"}, "spec.volumeMode is Block"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}, "spec.dataSource"),
    ],
)
def test_what_a_folder_cannot_be_is_refused(spec, reason):
    assert reason in str(refusal(claim(**spec)))
    assert refusal(claim(volumeMode="Filesystem")) is None


def test_a_volume_belongs_to_its_claim_and_to_the_node():
    volume = volume_for(claim(), Path("/v/pvc-1-2"), "here")
    spec = volume["spec"]
    assert volume["metadata"]["name"] == "pvc-1-2"
    assert spec["claimRef"]["uid"] == "1-2"
    assert spec["capacity"] == {"storage": "5Gi"}
    assert spec["accessModes"] == ["ReadWriteMany"]
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["here"]


def test_only_our_volumes_are_removed_and_only_when_released():
    volume = volume_for(claim(), Path("/v"), "here")
    assert not is_done_with({**volume, "status": {"phase": "Bound"}}, {PROVISIONER})
    assert is_done_with({**volume, "status": {"phase": "Released"}}, {PROVISIONER})
    stranger = {"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": f"not-{PROVISIONER}"}}}
    assert not is_done_with({**stranger, "status": {"phase": "Released"}}, {PROVISIONER})
