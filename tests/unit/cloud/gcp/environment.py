"""Each component as a small environment would use it; keywords change its arguments."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from llm_serving.cloud.gcp import (
    GcpCluster,
    GcpGpuPool,
    GcpModelCache,
    GcpNetwork,
    GcpRegistry,
    GcpWorkloadIdentity,
)
from tests.unit.recording import Recording, record

PROJECT = "test-project"
REGION = "us-central1"
ZONES = ["us-central1-a", "us-central1-b"]
LABELS = {"environment": "test"}

SPOT = {"market": "spot", "machine_type": "g2-standard-12", "max": 4}
ON_DEMAND = {"market": "on-demand", "machine_type": "g2-standard-12", "min": 1, "max": 2}
RESERVED = {"market": "reservation", "machine_type": "g2-standard-12", "max": 2, "reservation": "ours"}
FLEX_START = {"market": "flex-start", "machine_type": "g2-standard-12", "max": 2}


def network(*, ranges: dict[str, Any] | None = None, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {"project": PROJECT, "region": REGION, "name": "test", "ranges": ranges or {}, **args}
    return record(lambda: GcpNetwork("network", inputs), preview=preview)


def cluster(*, preview: bool = False, args: dict[str, Any] | None = None, **settings: Any) -> Recording:
    inputs: Any = {
        "project": PROJECT,
        "region": REGION,
        "cluster": {"name": "serving", "zones": ZONES, **settings},
        "network_id": "projects/test-project/global/networks/test",
        "subnet_id": "projects/test-project/regions/us-central1/subnetworks/test-nodes",
        "pods_range_name": "pods",
        "services_range_name": "services",
        "labels": LABELS,
        **(args or {}),
    }
    return record(lambda: GcpCluster("cluster", inputs), preview=preview)


def gpu_pool(*capacity: dict[str, Any], preview: bool = False, args: Any = None, **settings: Any) -> Recording:
    inputs: Any = {
        "project": PROJECT,
        "region": REGION,
        "location": REGION,
        "cluster_name": "serving",
        "node_service_account": "nodes@test-project.iam.gserviceaccount.com",
        "zones": ZONES,
        "pool": {"name": "l4", "accelerator": "L4", "capacity": list(capacity or (SPOT, ON_DEMAND)), **settings},
        "labels": LABELS,
        **(args or {}),
    }

    def program() -> GcpGpuPool:
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        return GcpGpuPool("pool", inputs, pulumi.ResourceOptions(providers={"kubernetes": provider}))

    return record(program, preview=preview)


def model_cache(*, preview: bool = False, args: dict[str, Any] | None = None, **cache: Any) -> Recording:
    inputs: Any = {"project": PROJECT, "region": REGION, "name": "models", "cache": cache, "labels": LABELS}
    inputs |= args or {}
    return record(lambda: GcpModelCache("cache", inputs), preview=preview)


def registry(*readers: Any, **more: Any) -> Recording:
    inputs: Any = {"project": PROJECT, "region": REGION, "name": "images", "readers": list(readers), "labels": LABELS}
    inputs |= more
    return record(lambda: GcpRegistry("registry", inputs))


def identity(**args: Any) -> Recording:
    inputs: Any = {
        "project": PROJECT,
        "name": "serving",
        "namespace": "team-a",
        "service_account": "llama",
        "workload_pool": "test-project.svc.id.goog",
        "bucket_name": "test-project-models",
        **args,
    }
    return record(lambda: GcpWorkloadIdentity("identity", inputs))


EVERY_COMPONENT = {
    "GcpNetwork": network,
    "GcpCluster": cluster,
    "GcpGpuPool": gpu_pool,
    "GcpModelCache": model_cache,
    "GcpRegistry": lambda: registry("nodes@test-project.iam.gserviceaccount.com"),
    "GcpWorkloadIdentity": identity,
}
