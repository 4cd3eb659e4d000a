"""An LLM on GKE: network, cluster, spot L4 nodes, a bucket, a Job that brings the weights, a model.

The loader's image lies in the registry of the project (docs/cloud-account.md, steps 3 and 5).
"""

from pathlib import Path

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s
import yaml

import llm_serving as llm

config = pulumi.Config("gcp")
place = {"project": config.require("project"), "region": config.require("region")}
zones = [f"{place['region']}-a"]
release = yaml.safe_load((Path(__file__).parent / "release.yaml").read_text(encoding="utf-8"))
MODEL, VERSION, TEAM, POOL, NAME = release["name"], release["version"], "chat", "l4", "llm"

google = gcp.Provider("google", **place)
on_google = pulumi.ResourceOptions(providers=[google])
network = llm.GcpNetwork(NAME, {**place, "name": NAME}, on_google)
cluster_inputs = {
    "cluster": {"name": NAME, "zones": zones, "regional": False},
    "network_id": network.network_id,
    "subnet_id": network.subnet_id,
    "pods_range_name": network.pods_range_name,
    "services_range_name": network.services_range_name,
}
cluster = llm.GcpCluster(NAME, {**place, **cluster_inputs}, on_google)
identifier = f"{place['project']}/{place['region']}/{NAME}"
kubernetes = k8s.Provider(NAME, kubeconfig=cluster.kubeconfig, cluster_identifier=identifier)

spot = {"market": "spot", "machine_type": "g2-standard-8", "max": 2}
pool_inputs = {
    "location": cluster.location,
    "cluster_name": cluster.name,
    "node_service_account": cluster.node_service_account,
    "zones": zones,
    "pool": {"name": POOL, "accelerator": "L4", "capacity": [spot]},
}
on_both = pulumi.ResourceOptions(providers=[google, kubernetes], depends_on=[cluster])
pool = llm.GcpGpuPool(POOL, {**place, **pool_inputs}, on_both)
cache = llm.GcpModelCache(NAME, {**place, "name": NAME}, on_google)
who = {
    "project": place["project"],
    "name": NAME,
    "bucket_name": cache.bucket_name,
    "namespace": TEAM,
    "workload_pool": cluster.workload_pool,
}
reader = llm.GcpWorkloadIdentity(MODEL, {**who, "service_account": MODEL}, on_google)
writer = llm.GcpWorkloadIdentity("loader", {**who, "service_account": "loader", "role": "writer"}, on_google)

on_cluster = pulumi.ResourceOptions(providers=[kubernetes], depends_on=[pool])
team_inputs = {"gpu_quota": 2, "reach": network.reach, "from_internet": True, "loader_identity": writer.binding}
team = llm.TeamNamespace(TEAM, {"team": {"name": TEAM}, **team_inputs}, on_cluster)
priorities = llm.PriorityClasses("priorities", {}, on_cluster)
shared = {"namespace": team.namespace, "scheduling": pool.scheduling, "cache": cache.volume}
registry = f"{place['region']}-docker.pkg.dev/{place['project']}/llm-serving"
loader_inputs = {
    "release": release,
    "team": TEAM,
    "loader": {"image": {"repository": f"{registry}/model-loader", "tag": "0.1.0"}},
    "identity": writer.binding,
}
in_team = pulumi.ResourceOptions(providers=[kubernetes], depends_on=[team])
weights = llm.ModelLoader(MODEL, {**loader_inputs, **shared}, in_team)
model_inputs = {
    "model": {"name": MODEL, "team": TEAM, "pool": POOL, "releases": {"stable": VERSION}},
    "releases": [release],
    "node": {"accelerator": "L4", "gpus": 1, "cpu": 7, "memory_gib": 24},
    "identity": reader.binding,
}
after = pulumi.ResourceOptions(providers=[kubernetes], depends_on=[pool, priorities, weights])
pulumi.export("url", llm.ModelService(MODEL, {**model_inputs, **shared}, after).url)
