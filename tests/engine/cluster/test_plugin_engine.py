"""The real engine hands ``ignoreChanges`` on to the plugin: a program that stops saying how many hands over."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from local.pulumi_home import clean_environment, prepare
from local.state_folder import REPOSITORY, StateFolder
from tests.engine.cluster.helpers import eventually

PROGRAM = """
import json
import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
replicas = config.get_int("replicas")
labels = {"app": "web"}
cluster = k8s.Provider("cluster", kubeconfig=config.require("kubeconfig"))
k8s.apps.v1.Deployment(
    "web",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        name="web",
        namespace=config.require("namespace"),
        annotations=None if replicas is None else {"pulumi.com/patchForce": "true"},
    ),
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=replicas,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
        template=k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
            spec=k8s.core.v1.PodSpecArgs(
                containers=[k8s.core.v1.ContainerArgs(name="c", image=config.require("image"))]
            ),
        ),
    ),
    opts=pulumi.ResourceOptions(
        provider=cluster, ignore_changes=["spec.replicas"] if replicas is None else []
    ),
)
"""


class Project:
    """A project with one Deployment."""

    def __init__(self, folder, kubeconfig, namespace):
        self.state = StateFolder(folder / "local")
        self.folder = folder / "project"
        self.folder.mkdir()
        prepare(self.state)
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "web", "runtime": "python"}))
        (self.folder / "__main__.py").write_text(PROGRAM)
        self.pulumi("stack", "init", "test")
        self.set(namespace=namespace, image="x")
        self.pulumi("config", "set", "--secret", "--", "kubeconfig", json.dumps(kubeconfig))

    def set(self, **values):
        for key, value in values.items():
            if value is None:
                self.pulumi("config", "rm", key)
            else:
                self.pulumi("config", "set", "--plaintext", "--", key, str(value))

    def pulumi(self, *args):
        path = [str(part) for part in (os.path.dirname(sys.executable), REPOSITORY / ".tools/bin")]
        environment = clean_environment(self.state)
        done = subprocess.run(
            ["pulumi", "--cwd", str(self.folder), "--non-interactive", *args],
            env=environment | {"PATH": os.pathsep.join([*path, os.environ.get("PATH", "")])},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{args[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def up(self):
        self.pulumi("up", "--yes", "--skip-preview")


@pytest.fixture
def project(cluster, pool, namespace, tmp_path):
    """The project, on a cluster with room for its pods."""
    pool(f"{namespace}-cpu", gpus=0, min=1, max=1)
    return Project(tmp_path, cluster.kubeconfig(), namespace)


def test_a_model_is_handed_to_an_autoscaler_and_taken_back(project, api, namespace):
    def live():
        return api.get("apps/v1", "Deployment", "web", namespace)

    def autoscale(replicas):
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"minReplicas": replicas, "maxReplicas": replicas, "scaleTargetRef": target}
        scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec}
        api.apply({**scaler, "metadata": {"name": "web", "namespace": namespace}}, force=True)
        eventually(lambda: live()["status"].get("availableReplicas") == replicas)

    project.set(replicas=4)
    project.up()
    project.set(replicas=None)
    project.up()
    assert live()["spec"]["replicas"] == 4
    autoscale(7)
    project.pulumi("preview", "--expect-no-changes")
    project.set(image="y")
    project.up()
    assert live()["spec"]["replicas"] == 7
    autoscale(5)
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    project.pulumi("preview", "--expect-no-changes")
    assert live()["spec"]["replicas"] == 5
    api.delete(api.get("autoscaling/v2", "HorizontalPodAutoscaler", "web", namespace))
    project.set(replicas=4)
    project.up()
    assert live()["spec"]["replicas"] == 4
