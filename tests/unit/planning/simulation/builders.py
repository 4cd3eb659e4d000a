"""Pods, nodes and pools as small as a test needs them."""

from llm_serving.planning.simulation import NodePool

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
TOLERATES_GPU = [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def gpu_pool(name="gpu", **changes):
    values = {
        "min": 0,
        "max": 2,
        "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "1"},
        "allocatable": {"cpu": "7", "memory": "28Gi", "pods": "110", "nvidia.com/gpu": "1"},
        "zones": ("europe-west4-a", "europe-west4-b"),
        "labels": {"llm-serving.dev/pool": name},
        "taints": (GPU_TAINT,),
    }
    return NodePool(name=name, **{**values, **changes})


def cpu_pool(name="system", **changes):
    values = {
        "min": 0,
        "max": 3,
        "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
        "allocatable": {"cpu": "3900m", "memory": "14Gi", "pods": "110"},
        "zones": ("europe-west4-a",),
    }
    return NodePool(name=name, **{**values, **changes})


def pod(name="p", *, gpus=0, cpu="100m", node=None, unschedulable=True, labels=None, **spec):
    limits = {"cpu": cpu, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container = {"name": "c", "image": "x", "resources": {"limits": limits}}
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels or {}},
        "spec": {"containers": [container], **spec},
        "status": {"conditions": conditions} if unschedulable and node is None else {},
    }
    if node is not None:
        manifest["spec"]["nodeName"] = node
    return manifest


def node_of(pool, ending="n1", zone=None):
    return pool.node(ending, zone or pool.zones[0])
