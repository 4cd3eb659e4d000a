"""A stack on a cluster that is already there: a control plane with A6000 nodes that no cloud of ours made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cluster import LocalCluster, NodePool
from tests.engine.local_stack import LocalStack

SETTINGS: dict[str, Any] = {
    "cloud": "existing",
    "cluster": {"name": "lab", "cacheClaim": "weights"},
    "pools": [
        {
            "name": "a6000",
            "accelerator": "RTX-A6000",
            "gpusPerNode": 2,
            "nodes": 2,
            "cpu": 32,
            "memoryGib": 128,
            "nodeSelector": {"example.com/gpu": "a6000"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
    ],
    "teams": [{"name": "chat"}],
    "models": [{"name": "qwen3-32b", "team": "chat", "pool": "a6000", "releases": {"stable": "1.0.0"}}],
}
NODE = {"cpu": "32", "memory": "128Gi", "ephemeral-storage": "500Gi", "pods": "110", "nvidia.com/gpu": "2"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("lab")
    stack = LocalStack(folder, "lab")
    cluster = LocalCluster(stack.runner.state.cluster("on-premises", "here", "lab"))
    try:
        cluster.create()
        cluster.put_pool(
            NodePool(
                name="racks",
                min=2,
                max=2,
                capacity=NODE,
                allocatable=NODE,
                zones=("room-1",),
                labels={"example.com/gpu": "a6000"},
                taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
            )
        )
        cluster.wait_pool("racks", 60)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
        stack.more_environment["KUBECONFIG"] = str(kubeconfig)
        _settings(stack, SETTINGS)
        yield stack
    finally:
        stack.close()


def _settings(stack: LocalStack, settings: dict[str, Any]) -> None:
    config = {f"llm-serving:{key}": value for key, value in settings.items()}
    (stack.settings / "Pulumi.lab.yaml").write_text(yaml.safe_dump({"config": config}))


def _claim(lab: LocalStack) -> None:
    """A volume of the cluster's owner, with the weights, claimed in the team's namespace."""
    storage: dict[str, Any] = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "weights"},
        "spec": storage
        | {"capacity": {"storage": "1Ti"}, "nfs": {"server": "192.0.2.1", "path": "/weights", "readOnly": True}},
    }
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "weights", "namespace": "chat"},
        "spec": storage | {"resources": {"requests": {"storage": "1Ti"}}, "volumeName": "weights"},
    }
    lab.kubernetes().apply_all([volume, claim])


def test_the_same_program_serves_on_nodes_that_are_there(lab: LocalStack) -> None:
    _settings(lab, SETTINGS | {"models": []})
    first = lab.up()
    assert first.returncode == 0, first.stdout[-4000:]
    _claim(lab)
    _settings(lab, SETTINGS)
    done = lab.up()
    assert done.returncode == 0, done.stdout[-4000:]
    (pod,) = lab.kubernetes().list("v1", "Pod", labels="llm-serving.dev/model=qwen3-32b")
    node = lab.kubernetes().get("v1", "Node", pod["spec"]["nodeName"])
    assert node["metadata"]["labels"]["example.com/gpu"] == "a6000"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert lab.changes() == []


def test_nothing_of_a_cloud_is_made(lab: LocalStack) -> None:
    assert {resource["type"].split(":")[0] for resource in lab.resources()} == {"pulumi", "llm-serving", "kubernetes"}
    assert lab.records() == []


def test_the_kubeconfig_is_a_secret(lab: LocalStack) -> None:
    token = lab.cluster().endpoint().token
    assert token not in lab.pulumi("stack", "export", "--stack", "lab").stdout
    assert token not in lab.pulumi("stack", "output", "--json", "--stack", "lab").stdout


def test_a_cluster_that_is_not_there_is_told(lab: LocalStack, tmp_path: Path) -> None:
    before = lab.more_environment["KUBECONFIG"]
    lab.more_environment["KUBECONFIG"] = str(tmp_path / "nowhere")
    done = lab.pulumi("preview", "--stack", "lab")
    lab.more_environment["KUBECONFIG"] = before
    assert done.returncode != 0
    assert "nowhere" in done.stdout + done.stderr


def test_destroy_leaves_the_cluster_as_it_was(lab: LocalStack) -> None:
    done = lab.destroy()
    assert done.returncode == 0, done.stdout[-4000:]
    assert len(lab.kubernetes().list("v1", "Node")) == 2
    assert "chat" not in {item["metadata"]["name"] for item in lab.kubernetes().list("v1", "Namespace")}
