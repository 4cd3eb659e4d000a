"""Programs against the local Google Cloud, as one engine run each."""

from pathlib import Path
from typing import Any

import grpc

from local.providers.gcp.plugin import GcpPlugin
from local.state_folder import StateFolder
from tests.unit.local.providers.engine import Engine, Made

NETWORK = "gcp:compute/network:Network"
SUBNET = "gcp:compute/subnetwork:Subnetwork"
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
ACCOUNT = "gcp:serviceaccount/account:Account"
MEMBER = "gcp:projects/iAMMember:IAMMember"
RING = "gcp:kms/keyRing:KeyRing"
KEY = "gcp:kms/cryptoKey:CryptoKey"

PROJECT = "shop-dev-1"
SETTINGS = {"project": PROJECT, "region": "us-central1"}


def run(state: Path, *, seed: bytes = b"seed", settings: dict[str, Any] | None = None, **more: Any) -> Engine:
    """A new plugin process, as far as a test can tell: nothing but the state folder is shared."""
    return Engine(GcpPlugin(StateFolder(state)), seed=seed, settings=SETTINGS if settings is None else settings, **more)


def subnet_inputs(network: Made, **more: Any) -> dict[str, Any]:
    return {"name": "nodes", "network": network.outputs["selfLink"], "ipCidrRange": "10.0.0.0/20", **more}


def details(error: BaseException) -> str:
    assert isinstance(error, grpc.RpcError)
    return str(error.details())
