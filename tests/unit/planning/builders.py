"""Short ways to write down what a stack asks for. Everything is the real model, filled with defaults."""

from llm_serving.planning.clouds import GCP, cloud_named
from llm_serving.planning.placement import plan_model
from llm_serving.planning.rules import StackShape
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.spec import (
    ExistingPoolSpec,
    ModelSpec,
    ReleaseSpec,
    TeamSpec,
)
from llm_serving.spec.gcp import GcpClusterSpec, GcpNetworkSpec, GcpPoolSpec

REGION = "us-central1"


def release(architecture="llama-3.1-8b", *, name="chat", version="1.0.0", **fields):
    model = {
        "architecture": architecture,
        "repository": "publisher/model",
        "revision": "0" * 40,
        "license": "apache-2.0",
        "gated": fields.pop("gated", False),
    }
    defaults = {
        "name": name,
        "version": version,
        "engine": {"version": "0.32.0"},
        "image": {"repository": "vllm-openai", "tag": "v0.32.0"},
        "model": model,
        "contextLength": 8192,
    }
    return ReleaseSpec.model_validate(defaults | fields)


def model(name="chat", **fields):
    defaults = {"name": name, "team": "search", "releases": {"stable": "1.0.0"}, "pool": "l4"}
    return ModelSpec.model_validate(defaults | fields)


def entry(**fields):
    return {"market": "on-demand", "machineType": "g2-standard-12", "max": 2} | fields


def pool(name="l4", accelerator="L4", capacity=None, **fields):
    return GcpPoolSpec.model_validate(
        {"name": name, "accelerator": accelerator, "capacity": capacity or [entry()]} | fields
    )


def existing_pool(name="lab", accelerator="RTX-A6000", **fields):
    defaults = {"name": name, "accelerator": accelerator, "gpusPerNode": 4, "cpu": 64, "memoryGib": 512}
    return ExistingPoolSpec.model_validate(defaults | fields)


def cluster(**fields):
    defaults = {"name": "dev", "zones": ["us-central1-a", "us-central1-b"]}
    return GcpClusterSpec.model_validate(defaults | fields)


def stack(**parts):
    """A stack that obeys every rule, with some of its parts replaced."""
    releases = parts.pop("releases", None) or [release()]
    defaults = {
        "cloud": GCP,
        "region": REGION,
        "pools": (pool(),),
        "models": (model(),),
        "teams": (TeamSpec(name="search"),),
        "releases": {(release_spec.name, release_spec.version): release_spec for release_spec in releases},
        "weights": None if parts.get("loader") else "external",
    }
    network, its_cluster = parts.pop("network", GcpNetworkSpec()), parts.pop("cluster", cluster())
    registry = parts.pop("registry", None)
    parts = defaults | parts
    if parts["cloud"] is GCP:
        parts |= {
            "zones": its_cluster.zones,
            "max_pods_per_node": its_cluster.max_pods_per_node,
            "gcp": GcpShape(network=network, cluster=its_cluster, pools=parts["pools"], registry=registry),
        }
    return StackShape(**parts)


def plan_instance(model_spec, release_spec, node, *sidecar):
    """The plan of an instance on the cloud that the node says it is of, as components decide it."""
    return plan_model(model_spec, release_spec, node, cloud_named(node.cloud), *sidecar)
