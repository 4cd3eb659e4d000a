"""A stack on local clouds of its own: the real engine, program and control plane, in a folder to throw away."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.cluster.control_plane import LocalCluster
from local.cluster.rest import Kubernetes
from local.stack_runner import StackRunner
from local.state_folder import REPOSITORY, StateFolder
from stacks.engine_events import UNCHANGED

PROJECT = "llm-serving"


@dataclass(frozen=True)
class Step:
    """One step of a preview: what the engine would do to which resource, and which properties differ."""

    op: str
    type: str
    name: str
    changed: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Last part of the type: ``NodePool``."""
        return self.type.rsplit(":", 1)[-1]

    def __str__(self) -> str:
        return f"{self.op} {self.kind} {self.name}"


ENVIRONMENTS = ("dev", "staging", "prod")
"""Stacks that come up on the local Google Cloud; ``prod-aws``, on the local AWS, has tests of its own."""


class LocalStack:
    """One stack, brought up by ``pulumi`` itself on local clouds under ``folder``."""

    def __init__(self, folder: Path, name: str = "dev") -> None:
        self.name = name
        self.folder = folder
        self.settings = folder / "settings"
        self.settings.mkdir(parents=True, exist_ok=True)
        for file in REPOSITORY.glob("Pulumi*.yaml"):
            shutil.copy(file, self.settings / file.name)
        self.runner = StackRunner(StateFolder(folder / "local"), self.settings)
        self.faults = folder / "faults.yaml"
        self.more_environment: dict[str, str] = {}
        self.started: list[subprocess.Popen[str]] = []

    # what is asked for

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Edit the settings; keys come without their namespace."""
        path = self.settings / f"Pulumi.{self.name}.yaml"
        document = yaml.safe_load(path.read_text())
        config = {key.removeprefix(f"{PROJECT}:"): value for key, value in document["config"].items()}
        edit(config)
        document["config"] = {f"{PROJECT}:{key}": value for key, value in config.items()}
        path.write_text(yaml.safe_dump(document))

    def restore(self) -> None:
        """The settings as they are committed."""
        shutil.copy(REPOSITORY / f"Pulumi.{self.name}.yaml", self.settings / f"Pulumi.{self.name}.yaml")

    def inject(self, *faults: Mapping[str, Any]) -> None:
        """Let the local clouds fail as told."""
        self.faults.write_text(yaml.safe_dump([dict(fault) for fault in faults]))

    # what the engine does

    def environment(self) -> dict[str, str]:
        return self.runner.environment() | {"LLM_SERVING_FAULTS": str(self.faults)} | self.more_environment

    def pulumi(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.runner.command(*args),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=480,
        )

    def shell(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Commands as somebody would type them in the project's folder, who agrees to what `pulumi` asks."""
        agrees = {"PULUMI_SKIP_CONFIRMATIONS": "true"}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.runner.project,
            env=self.environment() | agrees,
            capture_output=True,
            text=True,
            check=False,
            timeout=480,
        )

    def prepare(self) -> None:
        self.runner.prepare(self.name)
        self.runner.select(self.name)

    def preview(self) -> tuple[subprocess.CompletedProcess[str], list[Step]]:
        """A preview, and its steps where it succeeded."""
        self.prepare()
        done = self.pulumi("preview", "--json", "--stack", self.name)
        return done, _steps(done.stdout) if done.returncode == 0 else []

    def changes(self) -> list[Step]:
        """Steps of a preview that change something; fails the test where the preview fails."""
        done, steps = self.preview()
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return [step for step in steps if step.op not in UNCHANGED]

    def up(self, *args: str) -> subprocess.CompletedProcess[str]:
        self.prepare()
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", self.name, *args)

    def start_up(self) -> subprocess.Popen[str]:
        """``pulumi up`` in the background, in a process group of its own."""
        self.prepare()
        process = subprocess.Popen(
            self.runner.command("up", "--yes", "--skip-preview", "--stack", self.name),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def destroy(self) -> subprocess.CompletedProcess[str]:
        self.prepare()
        return self.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.name)

    # what is there

    def state(self) -> dict[str, Any]:
        """The engine's own record, secrets encrypted."""
        done = self.pulumi("stack", "export", "--stack", self.name)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["deployment"]

    def resources(self) -> list[dict[str, Any]]:
        return self.state().get("resources", [])

    def outputs(self) -> dict[str, Any]:
        return self.runner.outputs(self.name)

    def records(self) -> list[Path]:
        """What the local cloud keeps: one file a resource."""
        return sorted((self.runner.state.clouds / "gcp").rglob("*.json"))

    def cluster(self) -> LocalCluster:
        (directory,) = self.runner.state.clusters.glob("*/*/*")
        return LocalCluster(directory)

    def kubernetes(self) -> Kubernetes:
        return self.cluster().client()

    def engine_pods(self) -> list[dict[str, Any]]:
        """Pods of engines that are not on their way out; those of finished Jobs carry the model's name, too."""
        pods = self.kubernetes().list("v1", "Pod", labels="app.kubernetes.io/component=engine")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def close(self) -> None:
        """End what still runs, then the control planes; the folder is pytest's to remove."""
        for process in self.started:
            if process.poll() is None:
                kill_session(process)
        for directory in self.runner.state.clusters.glob("*/*/*"):
            LocalCluster(directory).stop()


def kill_session(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the pulumi process, its language host and its plugins: everything in the session that
    :meth:`LocalStack.start_up` made for them. Pulumi gives its plugins process groups of their own."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
            if os.getsid(int(folder.name)) == process.pid:
                os.kill(int(folder.name), signal.SIGKILL)
    process.wait(timeout=30)


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Poll until the condition holds; fails the test with ``what`` where it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.2)


def _steps(text: str) -> list[Step]:
    steps: list[Step] = []
    for step in json.loads(text).get("steps", []):
        urn: str = step["urn"]
        kind, name = urn.split("::")[2].rsplit("$", 1)[-1], urn.split("::")[3]
        changed = tuple(sorted(step.get("detailedDiff") or {})) or tuple(sorted(step.get("diffReasons") or ()))
        steps.append(Step(step["op"], kind, name, changed))
    return steps
