"""Other teams' programs, the real engine, a real control plane: one that knows the package by its plugin, and two that
import it, the README's and an example.

The language host that can be built here (see ``tools/``) is older than the way in which the engine tells it which
plugin to start, so ``PulumiPlugin.yaml`` is not what starts the plugin: a launcher is, with the same command.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cluster import NodePool
from local.cluster.control_plane import LocalCluster
from local.pulumi_home import clean_environment, prepare
from local.state_folder import REPOSITORY, StateFolder

COMPONENTS = REPOSITORY / "components"
EXAMPLES = REPOSITORY / "examples"
GPU_NODE = {"cpu": "16", "memory": "128Gi", "ephemeral-storage": "200Gi", "pods": "110", "nvidia.com/gpu": "2"}
CPU_NODE = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "50Gi", "pods": "110"}
SHARED_VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "shared"},
    "spec": {
        "accessModes": ["ReadWriteMany"],
        "capacity": {"storage": "100Gi"},
        "storageClassName": "shared",
        "nfs": {"server": "192.0.2.1", "path": "/weights"},
    },
}


class Project:
    """A Pulumi project in a folder of its own, on local clouds of its own."""

    def __init__(self, folder: Path, program: Path, more_environment: Mapping[str, str] | None = None, **more: Any):
        self.state = StateFolder(folder / "local")
        self.project = folder / "project"
        self.project.mkdir()
        prepare(self.state)
        project = {"name": program.name, "runtime": "python", "main": str(program), **more}
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        path = os.pathsep.join(
            [str(Path(sys.executable).parent), str(REPOSITORY / ".tools/bin"), os.environ.get("PATH", "")]
        )
        self.environment = clean_environment(self.state) | {"PATH": path} | dict(more_environment or {})
        self.pulumi("stack", "init", "test", check=True)

    def set(self, key: str, value: str, *, secret: bool = False) -> None:
        self.pulumi("config", "set", "--secret" if secret else "--plaintext", "--", key, value, check=True)

    def outputs(self) -> dict[str, Any]:
        return json.loads(self.pulumi("stack", "output", "--json", check=True).stdout)

    def pulumi(self, *args: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["pulumi", "--cwd", str(self.project), "--non-interactive", *args],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done


def _launcher(folder: Path) -> Path:
    """A folder with the executable that the engine looks for."""
    executable = folder / "plugin" / "pulumi-resource-llm-serving"
    executable.parent.mkdir()
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} {COMPONENTS} "$@"\n')
    executable.chmod(0o755)
    return executable.parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster") / "lab")
    try:
        cluster.create()
        cluster.put_pool(
            NodePool(
                name="a6000",
                min=1,
                max=1,
                capacity=GPU_NODE,
                allocatable=GPU_NODE,
                zones=("lab-a",),
                labels={"lab.example/gpu": "a6000", "example.com/gpu": "a6000"},
                taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
            )
        )
        cluster.put_pool(
            NodePool(name="system", min=1, max=1, capacity=CPU_NODE, allocatable=CPU_NODE, zones=("lab-a",))
        )
        for pool in ("a6000", "system"):
            cluster.wait_pool(pool)
        yield cluster
    finally:
        cluster.delete()


@pytest.fixture(scope="module")
def consumer(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("consumer")
    plugin = {"name": "llm-serving", "path": str(_launcher(folder))}
    project = Project(folder, Path(__file__).parent / "consumer", plugins={"providers": [plugin]})
    project.set("schema", str(COMPONENTS / "schema.json"))
    project.set("gpuQuota", "2")
    project.set("limitsPassword", "hunter2", secret=True)
    project.set("kubeconfig", json.dumps(cluster.kubeconfig()), secret=True)
    return project


def refusal(consumer: Project) -> str:
    """What the engine says of a preview that it refuses: a reason, and no traceback of the package's own."""
    done = consumer.pulumi("preview")
    output = done.stdout + done.stderr
    assert done.returncode != 0, output
    assert str(COMPONENTS / "llm_serving") not in output
    return output


def test_a_model_is_served_previewed_refused_and_removed_from_another_teams_program(consumer, cluster):
    preview = consumer.pulumi("preview")
    assert preview.returncode == 0, preview.stdout[-4000:] + preview.stderr[-4000:]

    consumer.pulumi("up", "--yes", "--skip-preview", check=True)
    outputs = consumer.outputs()
    assert outputs["url"] == "http://qwen3-8b.chat.svc:8000/v1"
    assert outputs["kubeconfig"] == "[secret]"
    deployment = cluster.client().get("apps/v1", "Deployment", "qwen3-8b-1-0-0", "chat")
    assert deployment["status"]["availableReplicas"] == 1
    account = cluster.client().get("v1", "ServiceAccount", "default", "chat")
    assert account["automountServiceAccountToken"] is False
    assert outputs["gatewayUrl"] == "http://gateway.llm-gateway.svc/v1"
    gateway = cluster.client().get("apps/v1", "Deployment", "litellm", "llm-gateway")
    assert gateway["status"]["availableReplicas"] == 2
    scaler = cluster.client().get("autoscaling/v2", "HorizontalPodAutoscaler", "litellm", "llm-gateway")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "litellm"

    consumer.pulumi("preview", "--expect-no-changes", check=True)

    consumer.set("gpuQuota", "-1")
    output = refusal(consumer)
    assert "gpuQuota" in output
    consumer.set("gpuQuota", "2")

    consumer.pulumi("config", "set", "--path", "model.replica", "2", check=True)
    output = refusal(consumer)
    assert "model.replica" in output
    assert "unknown key" in output
    assert "replicas" in output

    consumer.pulumi("destroy", "--yes", "--skip-preview", check=True)
    for namespace in ("chat", "llm-gateway"):
        assert cluster.client().find("v1", "Namespace", namespace) is None


def test_the_readmes_program_serves_a_model_word_for_word(cluster: LocalCluster, tmp_path: Path) -> None:
    client = cluster.client()
    client.create(SHARED_VOLUME)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
    (text,) = re.findall(r"^```python\n(.*?)^```", (COMPONENTS / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    program = tmp_path / "readme"
    program.mkdir()
    (program / "__main__.py").write_text(text)
    example = Project(tmp_path, program, {"KUBECONFIG": str(kubeconfig)})

    example.pulumi("up", "--yes", "--skip-preview", check=True)
    assert example.outputs() == {"url": "http://qwen3-8b.chat.svc:8000/v1"}
    deployment = client.get("apps/v1", "Deployment", "qwen3-8b-1-0-0", "chat")
    assert deployment["status"]["availableReplicas"] == 1

    example.pulumi("destroy", "--yes", "--skip-preview", check=True)
    assert client.find("v1", "Namespace", "chat") is None


def test_the_example_for_gke_serves_a_model(tmp_path: Path) -> None:
    example = Project(tmp_path, EXAMPLES / "gke")
    example.set("gcp:project", "acme-llm-dev")
    example.set("gcp:region", "us-central1")
    try:
        example.pulumi("up", "--yes", "--skip-preview", check=True)
        assert example.outputs() == {"url": "http://qwen3-0-6b.chat.svc:8000/v1"}
        example.pulumi("preview", "--expect-no-changes", check=True)
    finally:
        for directory in example.state.clusters.glob("*/*/*"):
            LocalCluster(directory).stop()
