"""A model on a cluster that is already there: two A6000 a node, weights on a shared volume.

The kubeconfig is the one that ``KUBECONFIG`` names. The program makes the volume claim ``weights``. Put the weights
into the folder ``qwen3-8b/1.0.0`` of that volume: until they are there the model's pods fail and are started again.
"""

import pulumi
import pulumi_kubernetes as k8s

import llm_serving as llm

TEAM, MODEL, POOL = "chat", "qwen3-8b", "a6000"
NODE = {"accelerator": "RTX-A6000", "cpu": 16, "memory_gib": 128}
RELEASE = {
    "name": MODEL,
    "version": "1.0.0",
    "engine": {"version": "0.32.0"},
    "image": {"repository": "docker.io/vllm/vllm-openai", "tag": "v0.32.0"},
    "model": {
        "architecture": "qwen3-8b",
        "repository": "Qwen/Qwen3-8B",
        "revision": "b968826d9c46dd6066d109eabc6255188de91218",
        "license": "Apache-2.0",
    },
    "context_length": 8192,
}

cluster = llm.ExistingCluster("lab", {})
kubernetes = k8s.Provider("lab", kubeconfig=cluster.kubeconfig, cluster_identifier="lab")
on_cluster = pulumi.ResourceOptions(providers=[kubernetes])

pool = llm.ExistingPool(
    POOL,
    {
        "pool": {
            "name": POOL,
            "gpus_per_node": 2,
            "node_selector": {"example.com/gpu": POOL},
            "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
            **NODE,
        }
    },
)
team = llm.TeamNamespace(TEAM, {"team": {"name": TEAM}, "gpu_quota": 2}, on_cluster)
priorities = llm.PriorityClasses("priorities", {}, on_cluster)
weights = llm.ExistingModelCache(
    "weights",
    {
        "claim": "weights",
        "storage": {"size_gib": 100, "storage_class": "shared", "access_mode": "ReadWriteMany"},
        "namespace": team.namespace,
    },
    on_cluster,
)
identity = llm.ExistingWorkloadIdentity(MODEL, {"namespace": TEAM, "service_account": MODEL})

model = llm.ModelService(
    MODEL,
    {
        "model": {"name": MODEL, "team": TEAM, "pool": POOL, "releases": {"stable": RELEASE["version"]}},
        "releases": [RELEASE],
        "node": {"gpus": 2, **NODE},
        "namespace": team.namespace,
        "scheduling": pool.scheduling,
        "cache": weights.volume,
        "identity": identity.binding,
    },
    pulumi.ResourceOptions(providers=[kubernetes], depends_on=[team, priorities]),
)
pulumi.export("url", model.url)
