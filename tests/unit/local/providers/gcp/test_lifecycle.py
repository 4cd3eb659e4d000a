from pathlib import Path

import grpc
import pytest

from local.providers.gcp.cloud import project_number
from local.providers.properties import UNKNOWN, Secret, reveal
from local.state_folder import StateFolder
from tests.unit.local.providers.engine import Made
from tests.unit.local.providers.gcp.google import (
    ACCOUNT,
    BUCKET,
    CLUSTER,
    KEY,
    MEMBER,
    NETWORK,
    OBJECT,
    POOL,
    PROJECT,
    RING,
    SUBNET,
    details,
    run,
    subnet_inputs,
)


def test_outputs_are_those_of_the_real_cloud(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        network = engine.create(NETWORK, "net", {"name": "main", "autoCreateSubnetworks": False})
        assert network.id == f"projects/{PROJECT}/global/networks/main"
        assert network.outputs["selfLink"] == f"https://www.googleapis.com/compute/v1/{network.id}"
        assert network.outputs["routingMode"] == "REGIONAL"
        assert network.outputs["networkId"].isdigit()

        subnet = engine.create(SUBNET, "nodes", subnet_inputs(network))
        assert subnet.id == f"projects/{PROJECT}/regions/us-central1/subnetworks/nodes"
        assert subnet.outputs["gatewayAddress"] == "10.0.0.1"
        assert subnet.outputs["region"] == "us-central1"

        account = engine.create(ACCOUNT, "sa", {"accountId": "node-account"})
        email = f"node-account@{PROJECT}.iam.gserviceaccount.com"
        assert account.id == f"projects/{PROJECT}/serviceAccounts/{email}"
        assert account.outputs["email"] == email
        assert account.outputs["member"] == f"serviceAccount:{email}"
        assert account.outputs["uniqueId"].isdigit()

        bucket = engine.create(
            BUCKET, "models", {"name": "shop-models", "location": "us-central1", "labels": {"a": "b"}}
        )
        assert bucket.id == "shop-models"
        assert bucket.outputs["url"] == "gs://shop-models"
        assert bucket.outputs["location"] == "US-CENTRAL1"
        assert bucket.outputs["projectNumber"] == project_number(PROJECT)
        assert isinstance(bucket.outputs["effectiveLabels"], Secret)
        assert reveal(bucket.outputs["effectiveLabels"]) == {"a": "b", "goog-pulumi-provisioned": "true"}


def test_a_preview_knows_the_inputs_and_not_the_rest(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        outputs = engine.preview(NETWORK, "net", {"name": "main", "mtu": UNKNOWN})
        assert outputs["name"] == "main"
        assert outputs["project"] == PROJECT
        assert outputs["routingMode"] == "REGIONAL"
        assert outputs["selfLink"] is outputs["mtu"] is UNKNOWN
        cluster = engine.preview(
            CLUSTER,
            "c",
            {
                "name": "c",
                "location": "us-central1",
                "initialNodeCount": 1,
                "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"allowExternalTraffic": True}},
            },
        )
        dns = cluster["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]
        assert dns == {"allowExternalTraffic": True, "endpoint": UNKNOWN}
        assert cluster["masterAuth"] is UNKNOWN
    assert not list((tmp_path / "clouds").glob("**/*.json"))


def test_a_preview_of_an_update_keeps_what_the_cloud_said(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        resource = engine.create(NETWORK, "net", {"name": "main"})
        expected = engine.update(resource, {"name": "main", "routingMode": "GLOBAL"}, preview=True)
        assert expected.outputs["selfLink"] == resource.outputs["selfLink"]
        assert expected.outputs["routingMode"] == "GLOBAL"
        live = engine.read(resource)
        assert live is not None
        assert live.outputs["routingMode"] == "REGIONAL"


def test_what_was_made_is_read_updated_and_deleted(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        resource = engine.create(NETWORK, "net", {"name": "main"})
    with run(tmp_path) as engine:
        changed = engine.update(resource, {"name": "main", "routingMode": "GLOBAL"})
        assert changed.outputs["routingMode"] == "GLOBAL"
        live = engine.read(changed)
        assert live is not None
        assert live.outputs == changed.outputs
        assert live.inputs == changed.inputs
        engine.delete(changed)
        assert engine.read(changed) is None
        engine.delete(changed)


def test_secrets_are_secret_everywhere_and_in_no_file(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        inputs = {"name": "shop-models", "location": "US", "labels": {"owner": Secret("hunter2")}}
        resource = engine.create(BUCKET, "models", inputs)
        assert resource.outputs["labels"] == {"owner": Secret("hunter2")}
        live = engine.read(resource)
        assert live is not None
        assert live.outputs["labels"] == {"owner": Secret("hunter2")}
        assert reveal(live.outputs["effectiveLabels"])["owner"] == "hunter2"
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()


def test_a_name_that_is_taken_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        engine.create(NETWORK, "net", {"name": "main"})
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(NETWORK, "other", {"name": "main"})
    assert "Error 409" in details(caught.value)
    assert "alreadyExists" in details(caught.value)
    assert "::net" in details(caught.value)


def test_what_a_killed_engine_left_is_adopted_by_the_same_urn(tmp_path: Path) -> None:
    """The plugin made the network; Pulumi never learnt of it."""
    with run(tmp_path) as engine:
        lost = engine.create(NETWORK, "net", {})
    with run(tmp_path, seed=b"another run") as engine:
        adopted = engine.create(NETWORK, "net", {})
    assert adopted.id == lost.id, "the drawn name is found again"
    assert adopted.outputs == lost.outputs
    with run(tmp_path) as engine:
        assert engine.create(NETWORK, "net", {"name": lost.inputs["name"], "routingMode": "GLOBAL"}).id == lost.id
        with pytest.raises(grpc.RpcError):
            engine.create(NETWORK, "net", {"name": lost.inputs["name"], "description": "cannot change in place"})


def test_another_stack_adopts_nothing(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        lost = engine.create(NETWORK, "net", {})
    with run(tmp_path, stack="prod", seed=b"prod") as engine:
        assert engine.create(NETWORK, "net", {}).id != lost.id


def test_a_replacement_draws_a_new_name_and_adopts_nothing(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        old = engine.create(NETWORK, "net", {"description": "one"})
    with run(tmp_path, seed=b"next run") as engine:
        # The engine: check with the old inputs, diff (which replaces), check without them, create, delete the old.
        checked = engine.check(NETWORK, "net", {"description": "two"}, old.inputs)
        difference = engine.diff(old, checked)
        assert difference.changes == {"description": "UPDATE_REPLACE"}
        assert not difference.delete_before_replace
        new = engine.create(NETWORK, "net", {"description": "two"})
        assert new.id != old.id
        engine.delete(old)
        assert engine.read(new) is not None


def test_a_replacement_under_a_given_name_goes_first(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        old = engine.create(NETWORK, "net", {"name": "main", "description": "one"})
        checked = engine.check(NETWORK, "net", {"name": "main", "description": "two"}, old.inputs)
        assert engine.diff(old, checked).delete_before_replace
        with pytest.raises(grpc.RpcError) as caught:
            engine.create_checked(NETWORK, "net", checked)
        assert "the resource that is being replaced" in details(caught.value)
        engine.delete(old)
        assert engine.create_checked(NETWORK, "net", checked).outputs["description"] == "two"


def test_a_failed_create_leaves_nothing(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(
                SUBNET,
                "s",
                {"name": "s", "network": "projects/shop-dev-1/global/networks/no", "ipCidrRange": "10.0.0.0/20"},
            )
        assert "Error 404" in details(caught.value)
        network = engine.create(NETWORK, "net", {"name": "no"})
        assert engine.create(SUBNET, "other", subnet_inputs(network, name="s")).id.endswith("/s")


def test_ranges_of_one_network_must_not_overlap(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        network = engine.create(NETWORK, "net", {"name": "main"})
        pods = {"secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "10.64.0.0/14"}]}
        engine.create(SUBNET, "nodes", subnet_inputs(network, **pods))
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(SUBNET, "b", subnet_inputs(network, name="b", ipCidrRange="10.65.0.0/24"))
        assert "conflicts with existing subnetwork" in details(caught.value)
        assert "10.64.0.0/14" in details(caught.value)
        elsewhere = engine.create(NETWORK, "net2", {"name": "other"})
        engine.create(SUBNET, "b", subnet_inputs(elsewhere, name="b", ipCidrRange="10.65.0.0/24"))


def test_what_is_in_use_cannot_be_deleted(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        network = engine.create(NETWORK, "net", {"name": "main"})
        subnet = engine.create(SUBNET, "nodes", subnet_inputs(network))
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(network)
        assert f"is already being used by '{subnet.id}'" in details(caught.value)
        assert "resourceInUseByAnotherResource" in details(caught.value)
        engine.delete(subnet)
        engine.delete(network)


def test_a_bucket_with_objects_needs_force(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        bucket = engine.create(BUCKET, "models", {"name": "shop-models", "location": "US"})
        engine.create(OBJECT, "weights", {"name": "weights.bin", "bucket": bucket.id, "content": "x"})
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(bucket)
        assert "without `force_destroy` set to true (weights.bin)" in details(caught.value)
        forced = engine.update(bucket, {"name": "shop-models", "location": "US", "forceDestroy": True})
        engine.delete(forced)
        assert engine.read(forced) is None


def test_weights_in_a_bucket_count_as_its_objects_and_go_with_it(tmp_path: Path) -> None:
    weights = StateFolder(tmp_path).bucket_weights
    with run(tmp_path) as engine:
        bucket = engine.create(BUCKET, "models", {"name": "shop-models", "location": "US"})
        weights.put("shop-models", "qwen3/1.0.0", "0" * 40)
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(bucket)
        assert "without `force_destroy` set to true (qwen3/1.0.0)" in details(caught.value)
        engine.delete(engine.update(bucket, {"name": "shop-models", "location": "US", "forceDestroy": True}))
    assert weights.prefixes("shop-models") == []


def test_keys_and_rings_are_never_deleted_and_their_names_never_free(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        ring = engine.create(RING, "ring", {"name": "keys", "location": "us-central1"})
        key = engine.create(KEY, "key", {"name": "secrets", "keyRing": ring.id, "rotationPeriod": "7776000s"})
        assert key.outputs["primaries"] == [{"name": f"{key.id}/cryptoKeyVersions/1", "state": "ENABLED"}]
        engine.delete(key)
        engine.delete(ring)
        assert engine.read(ring) is None
    with run(tmp_path, seed=b"later") as engine:
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(RING, "ring", {"name": "keys", "location": "us-central1"})
        assert "can never be deleted, only forgotten" in details(caught.value)
        assert engine.create(RING, "ring", {"location": "us-central1"}).id != ring.id


def test_deletion_policies_are_obeyed(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        kept = engine.create(NETWORK, "net", {"name": "main", "deletionPolicy": "PREVENT"})
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(kept)
        assert "PREVENT" in details(caught.value)
        left = engine.update(kept, {"name": "main", "deletionPolicy": "ABANDON"})
        engine.delete(left)
        assert engine.read(left) is not None


def test_members_have_to_exist(tmp_path: Path) -> None:
    member = f"serviceAccount:node-account@{PROJECT}.iam.gserviceaccount.com"
    grant = {"project": PROJECT, "role": "roles/viewer", "member": member}
    pool_member = f"serviceAccount:{PROJECT}.svc.id.goog[team/app]"
    with run(tmp_path) as engine:
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(MEMBER, "m", grant)
        assert "does not exist" in details(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(MEMBER, "w", {**grant, "member": pool_member})
        assert "Identity Pool does not exist" in details(caught.value)
        engine.create(ACCOUNT, "sa", {"accountId": "node-account"})
        resource = engine.create(MEMBER, "m", grant)
        assert resource.id == f"{PROJECT}/roles/viewer/{member}"
        assert engine.create(MEMBER, "twice", grant).id == resource.id, "a membership is no thing of its own"
        agent = f"serviceAccount:service-{project_number(PROJECT)}@container-engine-robot.iam.gserviceaccount.com"
        engine.create(MEMBER, "agent", {**grant, "member": agent})


def test_a_type_nobody_described_still_has_an_id_and_checked_inputs(tmp_path: Path) -> None:
    topic = "gcp:pubsub/topic:Topic"
    with run(tmp_path) as engine:
        resource = engine.create(topic, "events", {"labels": {"a": "b"}})
        assert resource.id == f"projects/{PROJECT}/global/topics/{resource.inputs['name']}"
        assert resource.outputs["project"] == PROJECT
        changed = engine.update(resource, {**resource.inputs, "labels": {"a": "c"}})
        assert changed.outputs["labels"] == {"a": "c"}
        assert engine.diff(resource, {**resource.inputs, "name": "x"}).replaces == ["name"]
        engine.delete(changed)


def test_a_resource_needs_a_project(tmp_path: Path) -> None:
    with run(tmp_path, settings={}) as engine:
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(NETWORK, "net", {"name": "main"})
        assert "project: required field is not set" in details(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(POOL, "p", {"name": "p", "project": PROJECT, "cluster": "c"})
        assert "location: required field is not set" in details(caught.value)


def test_a_provider_that_moves_replaces_its_resources(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        resource = engine.create(NETWORK, "net", {"name": "main"})
    with run(tmp_path, settings={"project": "shop-prod-1", "region": "us-central1"}) as engine:
        assert engine.diff(resource, resource.inputs).replaces == ["project"]


def test_a_cluster_protects_itself(tmp_path: Path) -> None:
    """The record is made by hand: a control plane is the business of the engine tier."""
    with run(tmp_path) as engine:
        id = f"projects/{PROJECT}/locations/us-central1/clusters/demo"
        inputs = {"name": "demo", "location": "us-central1", "initialNodeCount": 1}
        outputs = {**inputs, "project": PROJECT, "deletionProtection": True}
        engine.plugin.cloud.store.finish(CLUSTER, id, engine.urn(CLUSTER, "c"), inputs, outputs)
        with pytest.raises(grpc.RpcError) as caught:
            engine.delete(Made(engine.urn(CLUSTER, "c"), CLUSTER, id, inputs, outputs))
        assert "deletion_protection is set to true" in details(caught.value)
        engine.delete(Made(engine.urn(CLUSTER, "c"), CLUSTER, id, inputs, {**outputs, "deletionProtection": False}))
