"""Limits and answers are kept in a Redis each: the one forgets nothing, the other is never in the way."""

import hashlib
from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.gateway import Redis
from tests.unit.recording import Recording, record
from tests.unit.serving.manifests import assert_valid, breaks_restricted

IMAGE: dict[str, Any] = {"repository": "registry.example/redis", "tag": "0.1.0"}
PASSWORD = "a-password-of-clients"
INSTALLED: dict[str, Any] = {"namespace": "llm-gateway", "image": IMAGE, "password": PASSWORD}
ROLES: dict[str, tuple[str, str]] = {
    "limits": ("kubernetes:apps/v1:StatefulSet", "redis-limits"),
    "cache": ("kubernetes:apps/v1:Deployment", "redis-cache"),
}
roles = pytest.mark.parametrize("role", ROLES)


def make(**arguments: Any) -> Recording:
    return record(lambda: Redis("redis", arguments))  # type: ignore[arg-type]


def installed(role: str, **changes: Any) -> Recording:
    return make(**{role: changes.pop("settings", {}), **INSTALLED, **changes})


def pod(recording: Recording, role: str) -> dict[str, Any]:
    return recording.one(ROLES[role][0])["spec.template"]["spec"]


def configuration(recording: Recording) -> dict[str, str]:
    lines = recording.one("kubernetes:core/v1:ConfigMap")["data"]["redis.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines)


@roles
def test_objects_are_those_that_kubernetes_knows_and_the_pod_is_restricted(role: str) -> None:
    recording = installed(role, certificate={"secretName": "redis-tls"}, imagePull={"secretNames": ["pull"]})
    assert_valid(recording)
    assert breaks_restricted(pod(recording, role)) == []


@roles
def test_no_object_shows_the_password(role: str) -> None:
    recording = installed(role)
    assert PASSWORD not in str([each.inputs for each in recording])
    users = recording.one("kubernetes:core/v1:Secret")
    assert hashlib.sha256(PASSWORD.encode()).hexdigest() in users["stringData"]["users.acl"]
    assert "stringData" in users.secret_paths


def test_limits_are_on_a_disk_and_none_is_forgotten() -> None:
    recording = installed("limits", settings={"memoryMib": 100, "storageGib": 3, "storageClass": "fast"})
    settings = configuration(recording)
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")
    assert (settings["maxmemory"], settings["maxmemory-policy"]) == ("100mb", "noeviction")
    claim = recording.one("kubernetes:core/v1:PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    (data,) = [volume for volume in pod(recording, "limits")["volumes"] if volume["name"] == "data"]
    assert data["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_answers_are_on_no_disk_and_give_way_to_newer_ones() -> None:
    recording = installed("cache", settings={"memoryMib": 100})
    settings = configuration(recording)
    assert (settings["appendonly"], settings["save"]) == ("no", '""')
    assert (settings["maxmemory"], settings["maxmemory-policy"]) == ("100mb", "allkeys-lru")
    assert not [each for each in recording if each.type.endswith("PersistentVolumeClaim")]


@roles
def test_the_pod_has_room_for_its_data_and_for_the_copy_that_a_new_log_takes(role: str) -> None:
    (container,) = pod(installed(role, settings={"memoryMib": 100}), role)["containers"]
    requested, most = (int(container["resources"][key]["memory"].removesuffix("Mi")) for key in ("requests", "limits"))
    assert requested > 100
    assert most > (200 if role == "limits" else 100)


@roles
def test_other_users_or_another_configuration_are_another_pod(role: str) -> None:
    """Objects without a name of their own are replaced, and the pod names them."""
    recording = installed(role)
    for kind in ("ConfigMap", "Secret"):
        made = recording.one(f"kubernetes:core/v1:{kind}")
        assert "name" not in made["metadata"]
        assert made["immutable"] is True


@roles
def test_the_gateway_finds_it_where_it_is_installed(role: str) -> None:
    recording = installed(role)
    redis = recording.one("llm-serving:index:Redis")
    assert recording.outputs[redis.urn] == {"host": f"{ROLES[role][1]}.llm-gateway.svc", "port": 6379, "tls": False}
    service = recording.one("kubernetes:core/v1:Service")
    assert (
        service["spec"]["selector"].items()
        <= recording.one(ROLES[role][0])["spec.template"]["metadata"]["labels"].items()
    )


def test_of_one_that_is_there_nothing_is_made() -> None:
    recording = make(cache={"host": "10.0.0.5", "port": 6380, "tls": True}, namespace="llm-gateway")
    assert [each.type for each in recording if each.type.startswith("kubernetes:")] == []
    redis = recording.one("llm-serving:index:Redis")
    assert recording.outputs[redis.urn] == {"host": "10.0.0.5", "port": 6380, "tls": True}


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"namespace": "llm-gateway"}, "limits"),
        ({**INSTALLED, "limits": {}, "cache": {}}, "limits"),
        ({"namespace": "llm-gateway", "limits": {}, "password": PASSWORD}, "image"),
        ({"namespace": "llm-gateway", "limits": {}, "image": IMAGE}, "password"),
        (
            {"namespace": "llm-gateway", "limits": {"host": "redis.example"}, "certificate": {"secretName": "tls"}},
            "certificate",
        ),
    ],
)
def test_arguments_that_say_nothing_or_too_much_are_refused(arguments: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as refused:
        make(**arguments)
    assert [each["property_path"] for each in refused.value.errors or []] == [path]
