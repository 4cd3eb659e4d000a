"""Karpenter's objects on a real API server: its definitions know every field, and their rules hold (CEL)."""

import contextlib
import copy
from typing import Any

import pytest

from local.cluster.rest import ApiError, UnknownKindError
from local.providers.kubernetes import releases
from tests.engine.cluster.helpers import eventually
from tests.unit.cloud.aws import nodes
from tests.unit.recording import Recording

KINDS = (("karpenter.sh/v1", "NodePool"), ("karpenter.k8s.aws/v1", "EC2NodeClass"))
POOLS = {
    "every market": lambda: nodes.gpu_pool(*nodes.EVERY_MARKET),
    "moved back": lambda: nodes.gpu_pool(return_to_preferred=True, idle_minutes=1),
    "Bottlerocket": lambda: nodes.gpu_pool(node_image="bottlerocket", local_ssd=True, labels={"tier": "batch"}),
    "EFA": lambda: nodes.gpu_pool(nodes.H100_BLOCK, nodes.H100_SPOT, efa=True, **nodes.H100),
    "system": lambda: nodes.provisioner(),
}


@pytest.fixture(scope="module", autouse=True)
def definitions(api):
    """Karpenter's definitions, served."""
    made = [api.apply(definition, force=True) for definition in releases.definitions("karpenter-crd")]

    def served():
        api.forget()
        with contextlib.suppress(ApiError, UnknownKindError):
            return [api.resource(version, kind) for version, kind in KINDS]

    eventually(served)
    yield
    for definition in made:
        api.delete(definition)


def manifests(recording: Recording) -> list[dict[str, Any]]:
    objects = [*recording.all(nodes.NODE_CLASS), *recording.all(nodes.NODE_POOL)]
    return [nodes.manifest(each) for each in objects]


@pytest.mark.parametrize("name", POOLS)
def test_the_api_server_takes_what_is_made(api, name):
    made = manifests(POOLS[name]())
    assert made
    for manifest in made:
        taken = api.create(manifest, dry_run=True)
        assert set(manifest["spec"]) <= set(taken["spec"])


def spoilt(kind: str, **changes: Any) -> dict[str, Any]:
    (manifest,) = [each for each in manifests(nodes.gpu_pool(nodes.ON_DEMAND)) if each["kind"] == kind]
    return {**copy.deepcopy(manifest), "spec": {**manifest["spec"], **changes}}


@pytest.mark.parametrize(
    "manifest",
    [
        lambda: spoilt("EC2NodeClass", role="prod-nodes"),
        lambda: spoilt("EC2NodeClass", amiSelectorTerms=[{"alias": "al2023@v1"}, {"alias": "bottlerocket@1.67.0"}]),
        lambda: spoilt("EC2NodeClass", instanceStorePolicies="RAID0"),
        lambda: spoilt("NodePool", weight=101),
        lambda: spoilt("NodePool", weigth=1),
    ],
    ids=["two identities", "two images", "unknown field", "weight", "misspelt field"],
)
def test_the_api_server_refuses_what_karpenter_would(api, manifest):
    with pytest.raises(ApiError):
        api.create(manifest(), dry_run=True)
