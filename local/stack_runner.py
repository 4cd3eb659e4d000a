"""The ``pulumi`` command on this machine: its home, its backend, its project folder, and the summary after an update.

Leaves alone: what the program builds.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from local.cluster import LocalCluster
from local.kubernetes_plugin import pulumi_program, refuse_on_local_clouds
from local.progress import WITH_EVENT_LOG, run_with_progress
from local.project_copy import sync_project
from local.providers.faults import FaultPlan
from local.providers.host_names import resolve as resolve_name
from local.pulumi_home import clean_environment, prepare
from local.state_folder import REPOSITORY, StateFolder
from stacks.engine_events import UNCHANGED
from stacks.files import write_json
from stacks.outputs import read_outputs


@dataclass(frozen=True)
class StackRunner:
    """Runs ``pulumi`` for stacks of one state folder.

    Attributes:
        state: the state folder.
        settings: folder with ``Pulumi.yaml`` and the stacks' settings.
        more_settings: settings that every run adds, with their namespace.
        more_environment: variables that every run adds to its environment.
    """

    state: StateFolder
    settings: Path = REPOSITORY
    more_settings: Mapping[str, Any] = field(default_factory=dict)
    more_environment: Mapping[str, str] = field(default_factory=dict)

    def prepare(self, stack: str) -> None:
        """Make everything ready and bring the stack's copied settings up to date.

        Raises:
            FileNotFoundError: the stack has no settings.
            PluginError: the chosen kubernetes plugin cannot be had, or cannot reach the stack's cluster.
            ProblemsError: the plan of faults is refused.
        """
        FaultPlan.of(self.state).check()
        prepare(self.state)
        project = sync_project(self.state.root, stack, self.settings, self.more_settings)
        settings = yaml.safe_load((project / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
        refuse_on_local_clouds(str(settings["config"].get("llm-serving:cloud")))

    @property
    def project(self) -> Path:
        """The copied project, with the settings as the last run had them."""
        return self.state.root / "project"

    def environment(self) -> dict[str, str]:
        """The environment of every ``pulumi`` run: the virtual environment first on PATH, because the old language
        host starts the first ``python`` that it finds."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return {**clean_environment(self.state), "PATH": path, **self.more_environment}

    def command(self, *args: str) -> list[str]:
        """The command line of a ``pulumi`` run in the copied project."""
        return [pulumi_program(), "--cwd", str(self.project), "--non-interactive", *args]

    def run(self, *args: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run ``pulumi`` to its end; the caller reads the exit status."""
        return subprocess.run(
            self.command(*args), env=self.environment(), text=True, check=False, capture_output=capture
        )

    def select(self, stack: str) -> None:
        """Make the stack if need be, and free it from the lock of a run that was killed."""
        done = self.run("stack", "select", "--create", stack, capture=True)
        if done.returncode:
            raise SystemExit(done.stderr or done.stdout)
        if self.abandoned_locks(stack):
            print(f"an earlier run of {stack} was killed; its lock is removed", flush=True)
            self.run("cancel", "--yes", "--stack", stack, capture=True)

    def abandoned_locks(self, stack: str) -> list[Path]:
        """Locks of the stack whose owners, processes of this machine, are gone. Empty while any owner may be alive."""
        locks = list((self.state.backend / ".pulumi/locks/organization").glob(f"*/{stack}/*.json"))
        return [] if any(_owner_may_live(lock) for lock in locks) else locks

    def last_changes(self, stack: str) -> dict[str, int]:
        """What the last update did: operation -> number of resources (``same`` for those it left alone)."""
        done = self.run("stack", "history", "--json", "--page-size", "1", "--stack", stack, capture=True)
        return json.loads(done.stdout)[0].get("resourceChanges") or {}

    def resources(self, stack: str) -> list[dict[str, Any]]:
        """What the stack holds outside Pulumi: its resources without components and providers."""
        done = self.run("stack", "export", "--stack", stack, capture=True)
        state: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else {}
        resources = (state.get("deployment") or {}).get("resources") or []
        return [item for item in resources if item.get("custom") and not item["type"].startswith("pulumi:")]

    def outputs(self, stack: str) -> dict[str, Any]:
        """Outputs of the last update; secrets stay hidden."""
        done = self.run("stack", "output", "--json", "--stack", stack, capture=True)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else {}

    def kubeconfig(self, stack: str) -> Path | None:
        """A kubeconfig with which any client reaches the stack's local cluster; ``None`` while there is none."""
        users_kubeconfig = self.more_environment.get("KUBECONFIG")
        if users_kubeconfig is not None:
            return Path(users_kubeconfig)
        cluster = read_outputs(self.outputs(stack)).cluster
        # GKE says a host, EKS a URL.
        host = cluster.endpoint.removeprefix("https://") if cluster and cluster.endpoint else ""
        directory = resolve_name(host, self.state) if host else None
        if directory is None:
            return None
        control_plane = LocalCluster(directory)
        control_plane.start()
        path = self.state.root / "kubeconfig" / f"{stack}.json"
        write_json(path, control_plane.kubeconfig())  # readable by its owner only: it holds a token
        return path


def up(runner: StackRunner, stack: str, args: Sequence[str]) -> int:
    """``pulumi up`` with a line when a component begins and when it is done, then the summary of what is there, also
    after a failure."""
    runner.select(stack)
    status = run_with_progress(
        runner.command("up", "--yes", "--suppress-outputs", "--stack", stack, *args),
        runner.environment(),
        runner.state.log("up", stack),
        previews={"--skip-preview", "-f"}.isdisjoint(args),
        write=_print_at_once,
    )
    changes = runner.last_changes(stack) if status == 0 else {}
    shown = _summary(runner, stack)
    # After a failure what the fault would strike may not have been made yet.
    if status == 0 and (faults := FaultPlan.of(runner.state)).given:
        named = [(item["type"], item["urn"].rpartition("::")[2]) for item in runner.resources(stack)]
        for problem in faults.missed(named):
            print(f"note: {problem}")
    if changes and set(changes) <= UNCHANGED:
        print(f"\nNothing to change: all {changes['same']} resources of {stack} are as the settings say.")
    return status or shown


def _print_at_once(line: str) -> None:
    print(line, flush=True)


def preview(runner: StackRunner, stack: str, args: Sequence[str]) -> int:
    """``pulumi preview``, then what the settings lead to (pools, models, cost), and what an update changes."""
    with tempfile.TemporaryDirectory(prefix="llm-serving-preview-") as folder:
        events, outputs = Path(folder) / "events", Path(folder) / "outputs.json"
        told = replace(runner, more_environment={**runner.more_environment, **WITH_EVENT_LOG})
        done = told.run("preview", "--suppress-outputs", "--stack", stack, *args, "--event-log", str(events))
        if done.returncode == 0:
            write_json(outputs, runner.outputs(stack))
            print(flush=True)
            settings = ("--folder", str(runner.project))
            _stacks("plan", stack, *settings)
            print(flush=True)
            _stacks("changes", stack, *settings, "--outputs", str(outputs), "--events", str(events))
    return done.returncode


def destroy(runner: StackRunner, stack: str, args: Sequence[str], agrees: Callable[[str], bool] | None) -> int:
    """``pulumi destroy``, after saying what it removes.

    Args:
        runner: runs ``pulumi``.
        stack: the stack, which is selected.
        args: more arguments of ``pulumi destroy``; with some it may remove less than everything.
        agrees: asks whether to go on; ``None`` to go on without asking.
    """
    resources = runner.resources(stack)
    protected = [item["urn"].rpartition("::")[2] for item in resources if item.get("protect")]
    if protected and not args:
        print(
            f"error: stack {stack} protects {', '.join(protected)}: set cluster.deletionProtection: false and "
            f"modelCache.forceDestroy: true in {_short(runner.settings / f'Pulumi.{stack}.yaml')}, then "
            f"`make up STACK={stack}`, then `make destroy STACK={stack}`",
            file=sys.stderr,
        )
        return 1
    if resources:
        print(f"What {stack} has, and loses: {_counted(resources)}", flush=True)
    if agrees is not None and resources and not agrees(f"Remove these {len(resources)} resources?"):
        print(f"nothing of {stack} was removed")
        return 1
    status = runner.run("destroy", "--yes", "--stack", stack, *args).returncode
    runner.state.end_unused_apis()
    return status


def _counted(resources: Sequence[Mapping[str, Any]]) -> str:
    """``2 NodePool, 1 Cluster``: the most frequent kinds first."""
    kinds = Counter(item["type"].rpartition(":")[2] for item in resources)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _stacks(*args: str) -> int:
    return subprocess.run([sys.executable, "-m", "stacks", *args], check=False).returncode


def _summary(runner: StackRunner, stack: str) -> int:
    kubeconfig = runner.kubeconfig(stack)
    if kubeconfig is None:
        return 0
    outputs = runner.state.root / "kubeconfig" / f"{stack}.outputs.json"
    write_json(outputs, runner.outputs(stack))
    print(flush=True)
    where = ("--folder", str(runner.project), "--outputs", str(outputs), "--kubeconfig", str(kubeconfig))
    status = _stacks("summary", stack, *where)
    print(f"\nLook around: kubectl --kubeconfig {_short(kubeconfig)} get pods,nodes -A")
    return status


def _owner_may_live(lock: Path) -> bool:
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
        if owner["hostname"] != socket.gethostname():
            return True
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return False
    except (FileNotFoundError, ValueError, KeyError, PermissionError):
        return True
    return True


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
