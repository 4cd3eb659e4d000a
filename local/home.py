"""Where everything of this machine's clouds lies, and the Pulumi home that makes the engine use them.

Owns: the layout of the state folder (``LLM_SERVING_LOCAL``, by default ``<repository>/.local``), the plugin
launchers in its Pulumi home, and the environment that the ``pulumi`` command needs. Leaves alone: what the
plugins do.

Launchers are two-line shell scripts at ``plugins/resource-<name>-v<SDK version>/``: Pulumi starts a plugin by
its file name and asks for the version of the SDK that the program imports. In the place of the kubernetes launcher
stands a link to the official plugin where that was asked for (``local/plugin_choice.py``).
"""

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from local import plugin_choice
from local.cluster.files import write_atomically

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGINS: Mapping[str, str] = {"gcp": "pulumi-gcp", "kubernetes": "pulumi-kubernetes"}
"""Plugin name -> the Python distribution whose version it takes. The module is ``local.providers.<name>``."""


@dataclass(frozen=True)
class Home:
    """The folders under one state folder."""

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Home":
        """The state folder that ``LLM_SERVING_LOCAL`` names; a relative path starts at the repository."""
        return cls(REPOSITORY / Path(environment.get("LLM_SERVING_LOCAL") or ".local").expanduser())

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME: plugin launchers and the engine's own files."""
        return self.root / "pulumi-home"

    @property
    def backend(self) -> Path:
        """Where Pulumi keeps its state."""
        return self.root / "backend"

    @property
    def clouds(self) -> Path:
        """Records of the resources of each cloud."""
        return self.root / "clouds"

    @property
    def clusters(self) -> Path:
        """One folder for each control plane: ``<project>/<location>/<name>``."""
        return self.root / "clusters"

    @property
    def names(self) -> Path:
        """Host names of the local clouds and the control planes behind them."""
        return self.root / "names.json"

    @property
    def passphrase_file(self) -> Path:
        """The passphrase that encrypts secrets in the local backend."""
        return self.root / "passphrase"

    @property
    def official(self) -> Path:
        """A Pulumi home of its own, for the official kubernetes plugin where Pulumi downloaded it."""
        return self.pulumi_home / "official"

    def plugin(self, name: str) -> Path:
        """The file that the engine starts as a plugin."""
        folder = f"resource-{name}-v{version(PLUGINS[name])}"
        return self.pulumi_home / "plugins" / folder / f"pulumi-resource-{name}"

    def cluster(self, project: str, location: str, name: str) -> Path:
        """The folder of one cluster's control plane."""
        return self.clusters / project / location / name


def launcher(home: Home, module: str) -> str:
    """The text of a plugin launcher. State folder and import path are fixed in it: the engine may run
    elsewhere.
    """
    paths = os.pathsep.join([str(REPOSITORY / "components"), str(REPOSITORY)])
    return (
        "#!/bin/sh\n"
        f"exec env LLM_SERVING_LOCAL={shlex.quote(str(home.root))} PYTHONPATH={shlex.quote(paths)} "
        'LLM_SERVING_ENGINE_PID="$PPID" '
        f'{shlex.quote(sys.executable)} -m {module} "$@"\n'
    )


def prepare(home: Home, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Make the Pulumi home, the backend's folder and the passphrase; return the plugins. Safe to repeat.

    Raises:
        PluginError: the official kubernetes plugin was asked for and cannot be had.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    for folder in (home.pulumi_home, home.backend, home.clouds, home.clusters):
        folder.mkdir(parents=True, exist_ok=True)
    if not home.passphrase_file.exists():
        write_atomically(home.passphrase_file, secrets.token_urlsafe(24) + "\n", mode=0o600)
    for name in PLUGINS:
        if name == "kubernetes" and plugin_choice.wants_official(environment):
            _link_official(home, environment)
        else:
            _write_launcher(home.plugin(name), launcher(home, f"local.providers.{name}"))
    return [home.plugin(name) for name in PLUGINS]


def kubernetes_plugin(home: Home, environment: Mapping[str, str] = os.environ) -> str:
    """Which kubernetes plugin would run, and its version: ``local 4.34.2 (this repository)``.

    Raises:
        PluginError: the variable that chooses it says neither.
    """
    wanted = version(PLUGINS["kubernetes"])
    if not plugin_choice.wants_official(environment):
        return f"{plugin_choice.LOCAL} {wanted} (this repository)"
    found = plugin_choice.find(home.official, wanted, environment)
    return f"{plugin_choice.OFFICIAL} {found or f'{wanted} (not here yet: pulumi downloads it)'}"


def _link_official(home: Home, environment: Mapping[str, str]) -> None:
    wanted = version(PLUGINS["kubernetes"])
    place = home.plugin("kubernetes")
    if not place.is_symlink():  # our launcher, which the engine would take for it if what follows fails
        place.unlink(missing_ok=True)
    found = plugin_choice.find(home.official, wanted, environment)
    plugin_choice.link(found or plugin_choice.fetch(home.official, wanted, environment), place)


def _write_launcher(path: Path, text: str) -> None:
    if path.is_symlink() or not (
        path.exists() and path.read_text(encoding="utf-8") == text and os.access(path, os.X_OK)
    ):
        write_atomically(path, text, mode=0o755)


def clean_environment(home: Home, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """A whole environment for the ``pulumi`` command: ``base`` without what it says to Pulumi (a passphrase there would
    win over the local one, an access token would lead to another backend), and :func:`environment`."""
    return {key: value for key, value in base.items() if not key.startswith("PULUMI_")} | environment(home)


def environment(home: Home) -> dict[str, str]:
    """What the ``pulumi`` command needs in its environment to drive the local clouds."""
    return {
        "LLM_SERVING_LOCAL": str(home.root),
        "PULUMI_HOME": str(home.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{home.backend}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home.passphrase_file),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",  # a plugin on PATH would win over those of the home
    }
