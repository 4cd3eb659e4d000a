"""Objects keep their meaning on the way to the API server, into the state, and back from a refresh."""

import base64

from local.providers.kubernetes import objects
from local.providers.properties import UNKNOWN, Secret, contains_unknown, reveal


def live(kind="ConfigMap", **content):
    meta = {"name": "n", "namespace": "ns", "uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "m"}]}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **content}


def test_a_refresh_shows_drift_and_nothing_that_the_program_never_set():
    old = {
        "metadata": {"name": "n"},
        "spec": {"replicas": 2, "template": {"containers": [{"name": "c", "image": "a"}]}},
    }
    deployment = live(
        "Deployment",
        spec={
            "replicas": 5,
            "paused": False,
            "template": {"containers": [{"name": "mesh", "image": "m"}, {"name": "c", "image": "b", "tty": False}]},
        },
        status={"replicas": 5},
    )
    assert objects.inputs_of(deployment, old) == {
        "metadata": {"name": "n"},
        "spec": {"replicas": 5, "template": {"containers": [{"name": "c", "image": "b"}]}},
    }


def test_one_amount_written_in_two_ways_is_no_drift():
    old = {"spec": {"resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}}}}
    refreshed = live(spec={"resources": {"limits": {"cpu": "1", "memory": "2Gi"}}})
    assert objects.inputs_of(refreshed, old)["spec"]["resources"]["limits"] == {"cpu": "1000m", "memory": "2Gi"}
    volume = {"spec": {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1024Mi"}}]}}
    stored = live(spec={"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1Gi"}}]})
    assert objects.inputs_of(stored, volume) == volume


def test_an_item_that_others_added_or_we_lost_is_told_by_its_key():
    ports = [{"port": 80, "targetPort": "http"}, {"port": 53, "protocol": "UDP"}]
    theirs = [{"port": 53, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "targetPort": "web"}]
    inputs = objects.inputs_of(live("Service", spec={"ports": theirs}), {"spec": {"ports": ports}})
    assert inputs == {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}}


def test_a_list_that_is_one_value_drifts_as_a_whole():
    old = {"spec": {"args": ["--a"]}}
    assert objects.inputs_of(live(spec={"args": ["--a", "--b"]}), old) == {"spec": {"args": ["--a", "--b"]}}


def test_a_field_that_somebody_removed_is_drift():
    assert objects.inputs_of(live(data={"a": "1"}), {"data": {"a": "1", "b": "2"}}) == {"data": {"a": "1"}}


def test_text_in_a_secret_comes_back_as_text_and_stays_secret():
    old = {"stringData": Secret({"pw": "old", "gone": "x"})}
    data = {"pw": base64.b64encode(b"new").decode()}
    inputs = objects.inputs_of(live("Secret", data=data), old)
    assert isinstance(inputs["stringData"], Secret)
    assert reveal(inputs["stringData"]) == {"pw": "new"}


def test_an_import_leaves_out_what_only_the_server_writes():
    inputs = objects.inputs_of(live(data={"a": "1"}, status={"x": 1}), {})
    assert inputs["metadata"] == {"name": "n", "namespace": "ns"}
    assert "status" not in inputs
    assert inputs["data"] == {"a": "1"}


def test_secrets_are_secret_in_the_state():
    outputs = objects.state(live("Secret", data={"pw": "eA=="}), "m")
    assert isinstance(outputs["data"], Secret)
    assert "managedFields" not in outputs["metadata"]


def test_a_preview_does_not_promise_what_the_server_draws_each_time():
    service = live("Service", spec={"clusterIP": "10.96.0.3", "clusterIPs": ["10.96.0.3"], "ports": [{"port": 80}]})
    outputs = objects.planned(service, {"spec": {"ports": [{"port": 80}]}}, new=True)
    assert outputs["spec"]["clusterIP"] is UNKNOWN
    assert outputs["metadata"]["uid"] is UNKNOWN
    assert outputs["spec"]["ports"] == [{"port": 80}]
    fixed = objects.planned(service, {"spec": {"clusterIP": "10.96.0.3"}}, new=True)
    assert fixed["spec"]["clusterIP"] == "10.96.0.3"


def test_preview_and_update_draw_the_same_name_from_one_seed():
    name = objects.autonamed("Web", b"seed", "")
    assert name == objects.autonamed("Web", b"seed", "")
    assert name != objects.autonamed("Web", b"other", "")
    assert name.startswith("web-")
    assert len(name) == len("web-") + 8


def test_every_attempt_of_one_resource_has_one_field_manager():
    assert objects.field_manager("urn:a") == objects.field_manager("urn:a") != objects.field_manager("urn:b")


def test_identities_go_both_ways():
    assert objects.split_identity(objects.identity(live())) == ("ns", "n")
    assert objects.split_identity("n") == (None, "n")


def test_unset_members_are_not_sent():
    sent = objects.manifest({"metadata": {"name": "n", "labels": None}, "data": Secret({"a": "b"})}, "v1", "Secret")
    assert sent == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n"}, "data": {"a": "b"}}


def test_in_a_preview_an_object_that_is_there_keeps_what_the_api_server_made_up() -> None:
    metadata = {"name": "chat", "uid": "u1", "resourceVersion": "7", "managedFields": [{"manager": "m"}]}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": {"phase": "Active"}}
    outputs = objects.planned(namespace, {}, new=False)
    assert outputs["metadata"] == {"name": "chat", "uid": "u1", "resourceVersion": "7"}
    assert not contains_unknown(outputs["metadata"])
