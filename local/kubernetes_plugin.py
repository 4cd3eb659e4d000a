"""Which kubernetes plugin the engine runs: the one of this repository, or on request the official one.

Owns: the variable ``LLM_SERVING_KUBERNETES_PLUGIN`` (``local``, the default, or ``official``), and finding or fetching
the official plugin. Leaves alone: what plugins do, and the launchers of our own (``local/pulumi_home.py``).

The official plugin is looked for where Pulumi keeps plugins (``PULUMI_HOME``, ``~/.pulumi``), on PATH and among the
tools (``make setup-official-kubernetes`` builds it), then fetched by ``pulumi plugin install``. It is put into our
Pulumi home as a link, under the version of the SDK.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

from semver import Version

from local.cluster.errors import ClusterError
from local.cluster.layout import tools
from local.state_folder import PLUGINS, StateFolder

VARIABLE = "LLM_SERVING_KUBERNETES_PLUGIN"
LOCAL, OFFICIAL = "local", "official"
PROGRAM = "pulumi-resource-kubernetes"
_SDK = PLUGINS["kubernetes"]
_FETCH_SECONDS = 300
_FOLDER = "resource-kubernetes-v"


class PluginError(ClusterError):
    """``pulumi`` or the wanted plugin cannot be had, or does not fit."""


@dataclass(frozen=True)
class OfficialPlugin:
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
    """Whether the environment chooses the official plugin.

    Raises:
        PluginError: the variable has another value.
    """
    choice = environment.get(VARIABLE) or LOCAL
    if choice not in (LOCAL, OFFICIAL):
        raise PluginError(f"{VARIABLE} is {choice!r}: it may be {LOCAL!r} (the default) or {OFFICIAL!r}")
    return choice == OFFICIAL


def describe(state: StateFolder, environment: Mapping[str, str] = os.environ) -> str:
    """Which kubernetes plugin would run, and its version: ``local 4.34.2 (this repository)``.

    Raises:
        PluginError: the variable that chooses it has another value.
    """
    sdk = version_of(_SDK)
    if not wants_official(environment):
        return f"{LOCAL} {sdk} (this repository)"
    plugin = find(state.official_pulumi_home, sdk, environment)
    return f"{OFFICIAL} {plugin or f'{sdk} (not here yet: pulumi downloads it)'}"


def refuse_on_local_clouds(cloud: str, environment: Mapping[str, str] = os.environ) -> None:
    """The official plugin cannot follow the kubeconfig of a simulated GKE cluster: its host names exist only for the
    plugins of this repository.

    Args:
        cloud: the stack's setting ``llm-serving:cloud``.
        environment: where the choice is read.

    Raises:
        PluginError: the official plugin is chosen, and the cluster is simulated.
    """
    if wants_official(environment) and cloud != "existing":
        raise PluginError(
            f"{VARIABLE}={OFFICIAL} works with clusters that exist (llm-serving:cloud: existing, as in stack local), "
            f"and not with the simulated clusters of cloud {cloud!r}, whose addresses only the local plugin knows: "
            f"unset {VARIABLE}"
        )


def find(own: Path, version: str, environment: Mapping[str, str] = os.environ) -> OfficialPlugin | None:
    """The official plugin where this machine has one that fits.

    Args:
        own: the Pulumi home into which :func:`fetch` puts it.
        version: of the SDK; a plugin of the same major version fits if it is not older.
        environment: names the user's own Pulumi home and PATH.
    """
    wanted = Version.parse(version)
    users = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if users == own.parent:  # ours, in a shell after `python -m local env`: what lies there is our launcher
        users = Path.home() / ".pulumi"
    for pulumi_home in (own, users):
        installed = _installed(pulumi_home)
        fitting = [known for known in installed if known.major == wanted.major and known >= wanted]
        if fitting:
            chosen = wanted if wanted in fitting else max(fitting)
            return OfficialPlugin(installed[chosen], str(chosen))
    on_path = shutil.which(PROGRAM, path=os.pathsep.join([environment.get("PATH", ""), str(tools() / "bin")]))
    return OfficialPlugin(Path(on_path), "") if on_path else None


def fetch(own: Path, version: str, environment: Mapping[str, str] = os.environ) -> OfficialPlugin:
    """Let Pulumi download the official plugin.

    Raises:
        PluginError: it cannot.
    """
    command = [pulumi_program(environment), "plugin", "install", "resource", "kubernetes", f"v{version}"]
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
        failure = (done.stderr or done.stdout).strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        failure = [f"no end after {_FETCH_SECONDS} s"]
    plugin = find(own, version, {**environment, "PATH": ""})
    if failure or plugin is None:
        raise PluginError(
            f"the official kubernetes plugin {version} is not on this machine and cannot be downloaded: "
            f"{' '.join(failure) or 'nothing was installed'}\n"
            f"Put it on PATH ({PROGRAM}) or into ~/.pulumi/plugins/{_FOLDER}{version}/ (on a machine with "
            f"network: pulumi plugin install resource kubernetes v{version}), build it (make "
            f"setup-official-kubernetes), or unset {VARIABLE} for the plugin of this repository"
        )
    return plugin


def link_official(state: StateFolder, environment: Mapping[str, str]) -> None:
    """Put a link to the official plugin where the engine looks for it, in the stead of whatever is there.

    Raises:
        PluginError: it is not on this machine and cannot be downloaded.
    """
    sdk, link = version_of(_SDK), state.plugin("kubernetes")
    if not link.is_symlink():  # our launcher, which the engine would take for it if what follows fails
        link.unlink(missing_ok=True)
    plugin = find(state.official_pulumi_home, sdk, environment) or fetch(state.official_pulumi_home, sdk, environment)
    program = plugin.program.resolve()
    if link.is_symlink() and link.resolve() == program:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(program)


def pulumi_program(environment: Mapping[str, str] = os.environ) -> str:
    """The ``pulumi`` command: the project's own, else the one on PATH.

    Raises:
        PluginError: there is none.
    """
    program = shutil.which("pulumi", path=os.pathsep.join([str(tools() / "bin"), environment.get("PATH", "")]))
    if program is None:
        raise PluginError("pulumi is not there (try: make setup)")
    return program


def _installed(pulumi_home: Path) -> dict[Version, Path]:
    """Released versions of the official plugin in a Pulumi home, with their programs. Pulumi marks a download that is
    not complete by a file ``.partial`` beside its folder."""
    installed: dict[Version, Path] = {}
    for folder in (pulumi_home / "plugins").glob(f"{_FOLDER}*"):
        program, version = folder / PROGRAM, folder.name.removeprefix(_FOLDER)
        partial = folder.with_name(f"{folder.name}.partial")
        if not os.access(program, os.X_OK) or partial.exists() or not Version.is_valid(version):
            continue
        if (known := Version.parse(version)).prerelease is None:
            installed[known] = program
    return installed
