"""A setting that is taken back is taken back in the cloud too.

The provider keeps what there was of an input that is "Optional and Computed" and left out (Terraform plugin SDK,
``helper/schema``: an absent value of a computed attribute is no difference). Each way back is seen on the recorded
program: what a setting adds to a resource is there without the setting too, or the provider does not keep it, or
:data:`LEFT_OUT` says why nothing has to be sent.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, get_args

import pytest

from tests.unit.cloud.gcp.environment import ON_DEMAND, SPOT, ZONES, cluster, gpu_pool, model_cache, network
from tests.unit.recording import Recorded, Recording

CLUSTER = "gcp:container/cluster:Cluster"
AUTHORIZED = {"mode": "authorized", "authorized": ["203.0.113.0/24"]}
EXCLUSION = {"name": "launch", "start": "2026-12-01T00:00:00Z", "end": "2026-12-14T00:00:00Z"}

SETTINGS: dict[str, tuple[Callable[[], Recording], Callable[[], Recording]]] = {
    "network.natAddresses": (network, lambda: network(ranges={"nat_addresses": 2})),
    "network.flowLogSampling": (lambda: network(ranges={"flow_log_sampling": 0}), network),
    "cluster.securityGroup": (cluster, lambda: cluster(security_group="gke-security-groups@example.com")),
    "cluster.access authorized": (cluster, lambda: cluster(access=AUTHORIZED)),
    "cluster.access private": (cluster, lambda: cluster(access={"mode": "private"})),
    "cluster.access authorized ranges": (
        lambda: cluster(access={"mode": "private"}),
        lambda: cluster(access={**AUTHORIZED, "mode": "private"}),
    ),
    "cluster.access private endpoint": (
        lambda: cluster(access=AUTHORIZED),
        lambda: cluster(access={"mode": "private"}),
    ),
    "cluster.encryptSecrets": (lambda: cluster(encrypt_secrets=False), cluster),
    "cluster.version": (cluster, lambda: cluster(version="1.35")),
    "cluster.zones": (lambda: cluster(regional=False, zones=ZONES[:1]), lambda: cluster(regional=False)),
    "cluster.maintenance": (cluster, lambda: cluster(maintenance={"exclusions": [EXCLUSION]})),
    "labels": (lambda: cluster(args={"labels": {}}), cluster),
    "pools[].labels": (gpu_pool, lambda: gpu_pool(labels={"tier": "gold"})),
    "pools[].capacity[].min": (lambda: gpu_pool(SPOT), lambda: gpu_pool({**SPOT, "min": 1})),
    "pools[].capacity": (lambda: gpu_pool(ON_DEMAND), gpu_pool),
    "pools[].spotShutdownSeconds": (gpu_pool, lambda: gpu_pool(spot_shutdown_seconds=120)),
    "pools[].localSsd": (gpu_pool, lambda: gpu_pool({**SPOT, "machine_type": "g2-standard-48"}, local_ssd=True)),
    "modelCache": (model_cache, lambda: model_cache(force_destroy=True, soft_delete_days=30, noncurrent_days=1)),
}
"""By setting: a program without it, and one with it."""

LEFT_OUT = {
    (CLUSTER, "masterAuthorizedNetworksConfig"): "with dns no address of the control plane is left that it could open",
    (CLUSTER, "privateClusterConfig.enablePrivateEndpoint"): "with dns no address is left; GKE fills it in (access.py)",
    (CLUSTER, "databaseEncryption.keyName"): "state DECRYPTED lets go of the key, and a key is refused beside it",
}
"""Inputs of which nothing has to be sent, and why."""


def kept_by_the_provider(token: str, property_name: str) -> bool:
    """Whether an input that is left out keeps its value: the SDK says of such a property that it always has one."""
    _, path, name = token.split(":")
    properties = vars(getattr(importlib.import_module(f"pulumi_gcp.{path.split('/')[0]}"), name))
    getter = next(
        member.fget
        for member in properties.values()
        if isinstance(member, property) and getattr(member.fget, "_pulumi_name", "") == property_name
    )
    (type_of_output,) = get_args(getter.__annotations__["return"])
    return NoneType not in get_args(type_of_output)


def missing(without: Mapping[str, Any], having: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of what the second has and the first has not. Lists and maps of labels are sent as wholes."""
    for key, value in having.items():
        place = f"{path}.{key}" if path else key
        if without.get(key) is None and value is not None:
            yield place
        elif isinstance(value, dict) and not key.lower().endswith("labels"):
            yield from missing(without[key], value, place)


def kept(without: Recording, having: Recording) -> list[str]:
    """What a program without a setting would leave behind in a cloud that had it."""
    before: dict[str, Recorded] = {resource.urn: resource for resource in having}
    return [
        f"{resource.type} {path}"
        for resource in without
        if resource.urn in before and resource.type.startswith("gcp:")
        for path in missing(resource.inputs, before[resource.urn].inputs)
        if (resource.type, path) not in LEFT_OUT
        # Inside a block the SDK says nothing of it.
        if "." in path or kept_by_the_provider(resource.type, path)
    ]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_is_taken_back_leaves_nothing_behind(setting: str) -> None:
    without, having = SETTINGS[setting]
    assert kept(without(), having()) == []


def test_what_is_left_out_by_default_would_be_noticed() -> None:
    with_addresses = network(ranges={"nat_addresses": 2})
    without = network()
    del without.one("compute/routerNat:RouterNat").inputs["natIps"]
    assert kept(without, with_addresses) == ["gcp:compute/routerNat:RouterNat natIps"]


def test_defaults_are_sent_in_words() -> None:
    # terraform-provider-google, resource_compute_router_nat: natIps is kept, also with AUTO_ONLY, while the addresses
    # that it names are deleted.
    assert network().one("compute/routerNat:RouterNat")["natIps"] == []
    plain = cluster(encrypt_secrets=False, args={"labels": {}}).one(CLUSTER)
    # resource_container_cluster.go: an empty name sends "enabled: false".
    assert plain["authenticatorGroupsConfig"] == {"securityGroup": ""}
    assert plain["databaseEncryption"] == {"state": "DECRYPTED"}
    assert plain["maintenancePolicy.maintenanceExclusions"] == []
    assert plain["resourceLabels"] == {}


def test_another_end_of_spot_nodes_is_another_node_pool_and_the_default_is_the_one_there_was() -> None:
    """Control planes before 1.35.0-gke.1171000 refuse the fields (GKE documentation, "Spot VMs"), so the default cannot
    be sent; a node pool that had another shutdown would keep it."""

    def names(**settings: Any) -> dict[str, str]:
        pools = gpu_pool(SPOT, ON_DEMAND, **settings).all("container/nodePool:NodePool")
        return {pool["nodeConfig.labels"]["llm-serving.dev/market"]: pool["name"] for pool in pools}

    default, long = names(), names(spot_shutdown_seconds=120)
    assert default["spot"] != long["spot"]
    assert default["on-demand"] == long["on-demand"]
    assert names(spot_shutdown_seconds=30) == default
