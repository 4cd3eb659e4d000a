"""Which kubernetes plugin the engine runs: the one of this repository, or on request the official one.

Owns: the variable ``LLM_SERVING_KUBERNETES_PLUGIN`` (``local``, the default, or ``official``), and finding or fetching
the official plugin. Leaves alone: what plugins do, and the launchers of our own (``local/home.py``).

The official plugin is looked for where Pulumi keeps plugins (``PULUMI_HOME``, ``~/.pulumi``), on PATH and among the
tools (``make setup-official-kubernetes`` builds it), then fetched by ``pulumi plugin install``. It is put into our
Pulumi home as a link, under the version of the SDK.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.layout import tools

VARIABLE = "LLM_SERVING_KUBERNETES_PLUGIN"
LOCAL, OFFICIAL = "local", "official"
PROGRAM = "pulumi-resource-kubernetes"
_FETCH_SECONDS = 300


class PluginError(ClusterError):
    """The plugin that was asked for cannot be had, or does not fit."""


@dataclass(frozen=True)
class Found:
    """An official plugin on this machine.

    Attributes:
        program: its file.
        version: its version, or an empty string where its place does not tell.
    """

    program: Path
    version: str

    def __str__(self) -> str:
        return f"{self.version or 'of unknown version'} ({self.program})"


def wants_official(environment: Mapping[str, str] = os.environ) -> bool:
    """The official plugin was asked for.

    Raises:
        PluginError: the variable says something else.
    """
    asked = environment.get(VARIABLE) or LOCAL
    if asked not in (LOCAL, OFFICIAL):
        raise PluginError(f"{VARIABLE} is {asked!r}: it may be {LOCAL!r} (the default) or {OFFICIAL!r}")
    return asked == OFFICIAL


def refuse_on_local_clouds(cloud: str, environment: Mapping[str, str] = os.environ) -> None:
    """The official plugin cannot follow the kubeconfig of a simulated GKE cluster: its host names exist only for the
    plugins of this repository.

    Args:
        cloud: the stack's setting ``llm-serving:cloud``.
        environment: where the choice is read.

    Raises:
        PluginError: the official plugin was asked for, and the cluster is simulated.
    """
    if wants_official(environment) and cloud != "existing":
        raise PluginError(
            f"{VARIABLE}={OFFICIAL} works with clusters that exist (llm-serving:cloud: existing, as in stack local), "
            f"and not with the simulated clusters of cloud {cloud!r}, whose addresses only the local plugin knows: "
            f"unset {VARIABLE}"
        )


def find(own: Path, version: str, environment: Mapping[str, str] = os.environ) -> Found | None:
    """The official plugin where this machine has one that fits.

    Args:
        own: the Pulumi home into which :func:`fetch` puts it.
        version: of the SDK; a plugin of the same major version fits if it is not older.
        environment: names the user's own Pulumi home and PATH.
    """
    theirs = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if theirs == own.parent:  # ours, in a shell after `python -m local env`: what lies there is our launcher
        theirs = Path.home() / ".pulumi"
    for home in (own, theirs):
        fitting = [found for found in _installed(home) if _fits(found.version, version)]
        if fitting:
            return min(fitting, key=lambda found: (found.version != version, [-part for part in _parts(found.version)]))
    on_path = shutil.which(PROGRAM, path=os.pathsep.join([environment.get("PATH", ""), str(tools() / "bin")]))
    return Found(Path(on_path), "") if on_path else None


def fetch(own: Path, version: str, environment: Mapping[str, str] = os.environ) -> Found:
    """Let Pulumi download the official plugin.

    Raises:
        PluginError: it cannot.
    """
    command = [_pulumi(environment), "plugin", "install", "resource", "kubernetes", f"v{version}"]
    kept = {key: value for key, value in environment.items() if not key.startswith("PULUMI_")}
    own.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command,
            env={**kept, "PULUMI_HOME": str(own), "PULUMI_SKIP_UPDATE_CHECK": "true"},
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        said = [f"no end after {_FETCH_SECONDS} s"]
    found = find(own, version, {**environment, "PATH": ""})
    if said or found is None:
        raise PluginError(
            f"the official kubernetes plugin {version} is not on this machine and cannot be downloaded: "
            f"{' '.join(said) or 'nothing was installed'}\n"
            f"Put it on PATH ({PROGRAM}) or into ~/.pulumi/plugins/resource-kubernetes-v{version}/ (on a machine with "
            f"network: pulumi plugin install resource kubernetes v{version}), build it (make "
            f"setup-official-kubernetes), or unset {VARIABLE} for the plugin of this repository"
        )
    return found


def link(found: Found, place: Path) -> None:
    """Put the plugin at ``place``, in the stead of whatever is there."""
    if place.is_symlink() and place.resolve() == found.program.resolve():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    place.symlink_to(found.program.resolve())


def _installed(home: Path) -> list[Found]:
    found: list[Found] = []
    for folder in (home / "plugins").glob("resource-kubernetes-v*"):
        program, version = folder / PROGRAM, folder.name.removeprefix("resource-kubernetes-v")
        partial = folder.with_name(f"{folder.name}.partial")
        if program.is_file() and os.access(program, os.X_OK) and not partial.exists() and _parts(version):
            found.append(Found(program, version))
    return found


def _fits(version: str, wanted: str) -> bool:
    have, want = _parts(version), _parts(wanted)
    return have[:1] == want[:1] and have >= want


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")] if re.fullmatch(r"\d+(\.\d+)*", version) else []


def _pulumi(environment: Mapping[str, str]) -> str:
    places = os.pathsep.join([str(tools() / "bin"), environment.get("PATH", "")])
    found = shutil.which("pulumi", path=places)
    if found is None:
        raise PluginError("pulumi is not there (try: make setup)")
    return found
