"""Projects to measure: the dev stack with any number of models, and an empty program with the same imports."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from bench.measure import Project
from llm_serving.spec import ModelSpec
from local.stack_runner import StackRunner
from local.state_folder import REPOSITORY, StateFolder
from stacks.releases import RELEASES, lock_releases

EMPTY = '''\
"""Imports what the real program imports, and does nothing."""
import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as k8s
from pulumi_kubernetes import apps, core, meta, policy, rbac

# Modules of the SDKs are loaded at the first use of a name in them.
USED = (
    gcp.artifactregistry.Repository, gcp.compute.Network, gcp.container.Cluster, gcp.dns.ManagedZone, gcp.kms.KeyRing,
    gcp.projects.IAMMember, gcp.serviceaccount.Account, gcp.storage.Bucket,
    apps.v1.Deployment, core.v1.Namespace, meta.v1.ObjectMetaArgs, policy.v1.PodDisruptionBudget, rbac.v1.Role,
    k8s.apiextensions.CustomResource,
)
pulumi.export("nothing", True)
'''


def dev_project(folder: Path, models: int) -> Project:
    """The dev stack, never brought up, with ``models`` copies of its model and a pool that holds them."""
    settings, packages = dev_files(folder, models)
    return _project(folder, settings, {"PYTHONPATH": str(packages)})


def dev_files(folder: Path, models: int) -> tuple[Path, Path]:
    """Folder of the settings of such a stack, and one with a copy of the package ``stacks`` that has its releases."""
    settings = folder / "settings"
    settings.mkdir(parents=True)
    shutil.copy(REPOSITORY / "Pulumi.yaml", settings)
    document = yaml.safe_load((REPOSITORY / "Pulumi.dev.yaml").read_text())
    config: dict[str, Any] = document["config"]
    (model,) = config["llm-serving:models"]
    names = [model["name"] if index == 0 else f"{model['name']}-{index}" for index in range(models)]
    config["llm-serving:models"] = [model | {"name": name} for name in names]
    (pool,) = config["llm-serving:pools"]
    # A node an instance: room for all that autoscaling may ask for, and for one more while a release changes.
    instances = models * ModelSpec.model_validate(model).most_replicas
    pool["capacity"][0]["max"] = instances + 1
    (settings / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))
    return settings, _packages_with_releases(folder / "packages", model["name"], names)


def empty_project(folder: Path) -> Project:
    """A program that only imports."""
    settings = folder / "settings"
    program = folder / "program"
    program.mkdir(parents=True)
    settings.mkdir()
    (program / "__main__.py").write_text(EMPTY)
    shutil.copy(REPOSITORY / "Pulumi.yaml", settings)
    (settings / "Pulumi.dev.yaml").write_text("config:\n  llm-serving:cloud: gcp\n")
    project = _project(folder, settings, {})
    copied = folder / "local/project/Pulumi.yaml"
    document = yaml.safe_load(copied.read_text()) | {"main": str(program)}
    copied.write_text(yaml.safe_dump(document))
    return project


def _packages_with_releases(folder: Path, original: str, names: list[str]) -> Path:
    """A copy of the package ``stacks`` in which every model has a release."""
    target = folder / "stacks"
    shutil.copytree(RELEASES.parent, target, ignore=shutil.ignore_patterns("__pycache__"))
    releases = target / "releases"
    for name in names:
        if name == original:
            continue
        shutil.copytree(releases / original, releases / name)
        for file in (releases / name).glob("*.yaml"):
            file.write_text(file.read_text().replace(f"name: {original}", f"name: {name}"))
    lock_releases(releases)
    return folder


def _project(folder: Path, settings: Path, environment: dict[str, str]) -> Project:
    runner = StackRunner(StateFolder(folder / "local"), settings)
    runner.prepare("dev")
    runner.select("dev")
    command = runner.command("preview", "--stack", "dev")
    return Project(runner.environment() | environment, tuple(command))
