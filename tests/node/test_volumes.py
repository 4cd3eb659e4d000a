"""A claim gets a folder on the machine's disk, and the folder goes with the claim."""

from tests.engine.cluster.helpers import eventually
from tests.node.helpers import claim, run_in


def bound(api, namespace, name):
    volume_claim = api.get("v1", "PersistentVolumeClaim", name, namespace)
    return volume_claim["spec"].get("volumeName") if volume_claim["status"].get("phase") == "Bound" else None


def test_what_one_pod_writes_the_next_one_reads_and_then_it_is_gone(cluster, api, namespace):
    made = api.create(claim(namespace, "cache"))
    volume = eventually(lambda: bound(api, namespace, "cache"))
    folder = cluster.directory / "node" / "volumes" / volume
    assert folder.is_dir()

    phase, log = run_in(api, namespace, "writer", "echo kept > /data/file 2>&1", claim_name="cache")
    assert (phase, log) == ("Succeeded", "")
    assert run_in(api, namespace, "reader", "/bin/busybox cat /data/file", claim_name="cache") == (
        "Succeeded",
        "kept\n",
    )
    for name in ("writer", "reader"):
        api.delete({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}})
    api.delete(made)
    eventually(lambda: api.find("v1", "PersistentVolume", volume) is None)
    assert not folder.exists()


def test_a_volume_holds_its_pod_at_the_real_node(cluster, api, namespace):
    api.create(claim(namespace, "cache"))
    volume = eventually(lambda: bound(api, namespace, "cache"))
    terms = api.get("v1", "PersistentVolume", volume)["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert terms == [
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["local-node"]}]}
    ]


def test_what_a_folder_cannot_serve_is_refused_with_a_reason(api, namespace):
    api.create(claim(namespace, "raw", volumeMode="Block"))

    def told():
        events = api.list("v1", "Event", namespace, fields="involvedObject.name=raw,reason=ProvisioningFailed")
        return [event["message"] for event in events]

    assert "spec.volumeMode is Block" in eventually(told)[0]
    assert bound(api, namespace, "raw") is None
