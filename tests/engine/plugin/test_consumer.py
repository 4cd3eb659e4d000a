"""Another team's program, the real engine, the real plugin, a real control plane.

The language host that can be built here (see ``tools/``) is older than the way in which the engine tells it which
plugin to start, so ``PulumiPlugin.yaml`` is not what starts the plugin: a launcher is, with the same command.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cluster import NodePool
from local.cluster.control_plane import LocalCluster
from local.pulumi_home import clean_environment, prepare
from local.state_folder import REPOSITORY, StateFolder

COMPONENTS = REPOSITORY / "components"
GPU_NODE = {"cpu": "16", "memory": "128Gi", "ephemeral-storage": "200Gi", "pods": "110", "nvidia.com/gpu": "2"}


class Consumer:
    """A project in a folder of its own that uses the package by its path."""

    def __init__(self, folder: Path, kubeconfig: dict[str, Any]) -> None:
        self.home = StateFolder(folder / "local")
        self.project = folder / "project"
        self.project.mkdir()
        prepare(self.home)
        project = {
            "name": "consumer",
            "runtime": "python",
            "main": str(Path(__file__).parent / "consumer"),
            "plugins": {"providers": [{"name": "llm-serving", "path": str(_launcher(folder))}]},
        }
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self.pulumi("stack", "init", "test", check=True)
        self.set("schema", str(COMPONENTS / "schema.json"))
        self.set("gpuQuota", "2")
        self.set("kubeconfig", json.dumps(kubeconfig), secret=True)

    def set(self, key: str, value: str, *, secret: bool = False) -> None:
        self.pulumi("config", "set", "--secret" if secret else "--plaintext", "--", key, value, check=True)

    def pulumi(self, *args: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(
            [str(Path(sys.executable).parent), str(REPOSITORY / ".tools/bin"), os.environ.get("PATH", "")]
        )
        done = subprocess.run(
            ["pulumi", "--cwd", str(self.project), "--non-interactive", *args],
            env=clean_environment(self.home) | {"PATH": path},
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
                labels={"lab.example/gpu": "a6000"},
                taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
            )
        )
        cluster.wait_pool("a6000")
        yield cluster
    finally:
        cluster.delete()


@pytest.fixture(scope="module")
def consumer(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    return Consumer(tmp_path_factory.mktemp("consumer"), cluster.kubeconfig())


def refusal(consumer: Consumer) -> str:
    """What the engine says of a preview that it refuses: a reason, and no traceback of the package's own."""
    done = consumer.pulumi("preview")
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert str(COMPONENTS / "llm_serving") not in said
    return said


def test_a_model_is_served_previewed_refused_and_removed_from_another_teams_program(consumer, cluster):
    preview = consumer.pulumi("preview")
    assert preview.returncode == 0, preview.stdout[-4000:] + preview.stderr[-4000:]

    consumer.pulumi("up", "--yes", "--skip-preview", check=True)
    outputs = json.loads(consumer.pulumi("stack", "output", "--json", check=True).stdout)
    assert outputs["url"] == "http://qwen3-8b.chat.svc:8000/v1"
    assert outputs["kubeconfig"] == "[secret]"
    deployment = cluster.client().get("apps/v1", "Deployment", "qwen3-8b-1-0-0", "chat")
    assert deployment["status"]["availableReplicas"] == 1
    account = cluster.client().get("v1", "ServiceAccount", "default", "chat")
    assert account["automountServiceAccountToken"] is False

    consumer.pulumi("preview", "--expect-no-changes", check=True)

    consumer.set("gpuQuota", "-1")
    said = refusal(consumer)
    assert "gpuQuota" in said
    consumer.set("gpuQuota", "2")

    consumer.pulumi("config", "set", "--path", "model.replica", "2", check=True)
    said = refusal(consumer)
    assert "model.replica" in said
    assert "unknown key" in said
    assert "replicas" in said

    consumer.pulumi("destroy", "--yes", "--skip-preview", check=True)
    assert cluster.client().find("v1", "Namespace", "chat") is None
