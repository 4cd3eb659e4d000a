"""When a claim gets its disk on a simulated cluster, and whose nodes can use it."""

import pytest

from local.cluster.disks import disk_for, lacks_volume, node_of

WAITS = {
    "metadata": {"name": "standard-rwo"},
    "provisioner": "pd.csi.storage.gke.io",
    "volumeBindingMode": "WaitForFirstConsumer",
}
CLAIM = {
    "metadata": {"name": "redis-limits", "namespace": "llm-gateway", "uid": "1-2"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
}
CHOSEN = {**CLAIM, "metadata": {**CLAIM["metadata"], "annotations": {"volume.kubernetes.io/selected-node": "n1"}}}


def test_a_class_that_waits_gets_its_disk_once_the_scheduler_has_chosen_a_node():
    assert lacks_volume(CLAIM)
    assert node_of(CLAIM, WAITS) is None
    assert node_of(CHOSEN, WAITS) == "n1"
    assert node_of(CLAIM, {**WAITS, "volumeBindingMode": "Immediate"}) == ""
    assert not lacks_volume({**CLAIM, "spec": {**CLAIM["spec"], "volumeName": "pvc-1-2"}})


@pytest.mark.parametrize(("zone", "zones"), [("us-east4-a", ["us-east4-a"]), ("", None)])
def test_a_disk_belongs_to_its_claim_and_can_be_used_in_its_zone_alone(zone, zones):
    spec = disk_for(CHOSEN, WAITS, zone)["spec"]
    assert spec["csi"] == {"driver": "pd.csi.storage.gke.io", "volumeHandle": "pvc-1-2"}
    assert (spec["storageClassName"], spec["claimRef"]["uid"]) == ("standard-rwo", "1-2")
    if zones is None:
        assert "nodeAffinity" not in spec
    else:
        ((rule,),) = [term["matchExpressions"] for term in spec["nodeAffinity"]["required"]["nodeSelectorTerms"]]
        assert (rule["key"], rule["values"]) == ("topology.kubernetes.io/zone", zones)
