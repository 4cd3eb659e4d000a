from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from local.providers.properties import UNKNOWN, Secret, to_struct
from tests.unit.local.providers.engine import RefusedError
from tests.unit.local.providers.gcp.google import ACCOUNT, BUCKET, CLUSTER, KEY, MEMBER, NETWORK, POOL, SUBNET, run

CLUSTER_INPUTS = {"name": "demo", "location": "us-central1", "initialNodeCount": 1}


def refusal(state: Path, token: str, inputs: dict[str, Any]) -> str:
    with run(state) as engine, pytest.raises(RefusedError) as caught:
        engine.check(token, "thing", inputs)
    return str(caught.value)


def checked_inputs(state: Path, token: str, inputs: dict[str, Any]) -> dict[str, Any]:
    with run(state) as engine:
        return engine.check(token, "thing", inputs)


@pytest.mark.parametrize(
    ("token", "inputs", "words"),
    [
        (SUBNET, {"network": "n", "ipCidrRange": "10.0.0.1/20"}, "not an address range (try: 10.0.0.0/20)"),
        (SUBNET, {"network": "n"}, "ipCidrRange: required, unless reservedInternalRange is given"),
        (
            SUBNET,
            {
                "network": "n",
                "ipCidrRange": "10.0.0.0/20",
                "secondaryIpRanges": [{"rangeName": "P", "ipCidrRange": "x"}],
            },
            "secondaryIpRanges[0].ipCidrRange = 'x': not an address range",
        ),
        (NETWORK, {"name": "Main"}, "does not have the form"),
        (CLUSTER, {**CLUSTER_INPUTS, "name": "x" * 41}, "does not have the form"),
        (
            CLUSTER,
            {**CLUSTER_INPUTS, "releaseChannel": {"channel": "REGLAR"}},
            "releaseChannel.channel = 'REGLAR': not one of the values that are known (try: REGULAR)",
        ),
        (CLUSTER, {**CLUSTER_INPUTS, "location": "us-centra1"}, "no such region or zone (try: us-central1"),
        (
            CLUSTER,
            {**CLUSTER_INPUTS, "nodeLocations": ["us-east1-b"]},
            "nodeLocations[0] = 'us-east1-b': not a zone of us-central1",
        ),
        (
            CLUSTER,
            {**CLUSTER_INPUTS, "enableAutopilot": True, "removeDefaultNodePool": True},
            "removeDefaultNodePool: cannot be used with enableAutopilot",
        ),
        (
            CLUSTER,
            {**CLUSTER_INPUTS, "databaseEncryption": {"state": "ENCRYPTED"}},
            "databaseEncryption.keyName: required where state is ENCRYPTED",
        ),
        (POOL, {"cluster": "c", "autoscaling": {"locationPolicy": "SOME"}}, "autoscaling.locationPolicy = 'SOME'"),
        (
            POOL,
            {"cluster": "c", "autoscaling": {"maxNodeCount": 2, "totalMaxNodeCount": 2}},
            "limits are either per zone or for the whole pool",
        ),
        (
            POOL,
            {"cluster": "c", "autoscaling": {"totalMinNodeCount": 3, "totalMaxNodeCount": 2}},
            "greater than totalMaxNodeCount, which is 2",
        ),
        (
            POOL,
            {"cluster": "c", "nodeConfig": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}},
            "nodeConfig.taints[0].effect = 'NoSchedule': not one of the values that are known (try: NO_SCHEDULE",
        ),
        (POOL, {"cluster": "c", "nodeConfig": {"spot": True, "preemptible": True}}, "cannot be used with spot"),
        (BUCKET, {"location": "us-centrl1"}, "no such location (try: us-central1"),
        (BUCKET, {"location": "US", "storageClass": "STANDRD"}, "(try: STANDARD)"),
        (BUCKET, {}, "location: required, but not given"),
        (ACCOUNT, {"accountId": "x"}, "does not have the form"),
        (MEMBER, {"project": "p", "role": "viewer", "member": "user:a@b.c"}, "not a role"),
        (MEMBER, {"project": "p", "role": "roles/viewer", "member": "a@b.c"}, "not an IAM member"),
        (KEY, {"keyRing": "r", "rotationPeriod": "3600s"}, "less than a day"),
    ],
)
def test_what_the_real_provider_refuses_in_a_preview_is_refused(
    tmp_path: Path, token: str, inputs: dict[str, Any], words: str
) -> None:
    assert words in refusal(tmp_path, token, inputs)


def test_mistakes_of_types_and_values_come_together(tmp_path: Path) -> None:
    reasons = refusal(
        tmp_path,
        CLUSTER,
        {**CLUSTER_INPUTS, "initialNodeCount": "1", "releaseChannel": {"channel": "X"}, "netwrk": "n"},
    )
    assert len(reasons.splitlines()) == 3


def test_unknown_values_pass_every_rule(tmp_path: Path) -> None:
    inputs = {
        "name": "demo",
        "location": UNKNOWN,
        "network": UNKNOWN,
        "initialNodeCount": UNKNOWN,
        "nodeLocations": UNKNOWN,
        "ipAllocationPolicy": {"clusterSecondaryRangeName": UNKNOWN, "servicesIpv4CidrBlock": UNKNOWN},
        "releaseChannel": {"channel": UNKNOWN},
        "databaseEncryption": {"state": "ENCRYPTED", "keyName": UNKNOWN},
    }
    assert checked_inputs(tmp_path, CLUSTER, inputs)["network"] is UNKNOWN
    pool = {"name": "p", "cluster": UNKNOWN, "autoscaling": {"minNodeCount": 1, "maxNodeCount": UNKNOWN}}
    assert checked_inputs(tmp_path, POOL, pool)["cluster"] is UNKNOWN


def test_a_refused_secret_is_not_shown(tmp_path: Path) -> None:
    reason = refusal(tmp_path, BUCKET, {"location": "US", "storageClass": Secret("hunter2")})
    assert reason == ": storageClass: not one of the values that are known (try: " + reason.partition("(try: ")[2]
    assert "hunter2" not in reason


def test_settings_of_the_provider_are_checked(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        request = provider_pb2.CheckRequest(urn="u", news=to_struct({"projct": "p", "version": "10.2.0"}))
        answer = engine.stub.CheckConfig(request)
    (failure,) = answer.failures
    assert failure.reason.startswith("projct: unknown property (try: project")


def test_a_type_that_the_sdk_does_not_have_is_an_error(tmp_path: Path) -> None:
    with run(tmp_path) as engine, pytest.raises(grpc.RpcError) as failed:
        engine.check("gcp:compute/netwrk:Netwrk", "n", {})
    assert "has no such resource" in failed.value.details()


def test_names_are_drawn_once_and_stay(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        first = engine.check(NETWORK, "Main", {})
        assert first["name"].startswith("main-")
        assert len(first["name"]) == len("main-") + 7
        assert first["__defaults"] == ["name"]
        assert engine.check(NETWORK, "Main", {"description": "x"}, first)["name"] == first["name"]
        assert engine.check(NETWORK, "Main", {}) == first, "a preview and its update draw the same"
        explicit = engine.check(NETWORK, "Main", {"name": "given"}, first)
        assert explicit == {"name": "given"}
        assert engine.check(NETWORK, "Main", {}, explicit)["name"] != "given"
    with run(tmp_path, seed=b"other") as engine:
        assert engine.check(NETWORK, "Main", {})["name"] != first["name"]
        assert len(engine.check(ACCOUNT, "a-very-long-name-for-an-account-indeed", {})["accountId"]) == 30
