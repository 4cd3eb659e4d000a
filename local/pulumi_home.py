"""The Pulumi home that makes the engine use the plugins of this machine, and the environment that leads there.

Owns the plugin launchers in the home, the backend's passphrase, and the environment that the ``pulumi`` command needs.
Leaves alone: what the plugins do.

Launchers are two-line shell scripts at ``plugins/resource-<name>-v<SDK version>/``: Pulumi starts a plugin by its file
name and asks for the version of the SDK that the program imports. In the place of the kubernetes launcher stands a link
to the official plugin where the environment says so (``local/kubernetes_plugin.py``).
"""

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from local import kubernetes_plugin
from local.state_folder import PLUGINS, REPOSITORY, StateFolder
from stacks.files import write_atomically


def prepare(state: StateFolder, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Make the Pulumi home, the backend's folder and the passphrase; return the plugins. Safe to repeat.

    Raises:
        PluginError: the official kubernetes plugin is wanted and cannot be had.
    """
    for folder in (state.root, state.pulumi_home, state.backend, state.clouds, state.clusters):
        folder.mkdir(parents=True, exist_ok=True)
    if not state.passphrase_file.exists():
        write_atomically(state.passphrase_file, secrets.token_urlsafe(24) + "\n", mode=0o600)
    for name in PLUGINS:
        if name == "kubernetes" and kubernetes_plugin.wants_official(environment):
            kubernetes_plugin.link_official(state, environment)
        else:
            _write_launcher(state.plugin(name), _launcher(state, f"local.providers.{name}"))
    return [state.plugin(name) for name in PLUGINS]


def environment(state: StateFolder) -> dict[str, str]:
    """What the ``pulumi`` command needs in its environment to drive the local clouds."""
    return {
        "LLM_SERVING_LOCAL": str(state.root),
        "PULUMI_HOME": str(state.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{state.backend}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(state.passphrase_file),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",  # a plugin on PATH would win over those of the home
    }


def clean_environment(state: StateFolder, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """A whole environment for the ``pulumi`` command: ``base`` without what it says to Pulumi (a passphrase there would
    win over the local one, an access token would lead to another backend), and :func:`environment`."""
    return {key: value for key, value in base.items() if not key.startswith("PULUMI_")} | environment(state)


def _launcher(state: StateFolder, module: str) -> str:
    """The text of a plugin launcher. State folder and import path are fixed in it: the engine may run elsewhere."""
    paths = os.pathsep.join([str(REPOSITORY / "components"), str(REPOSITORY)])
    return (
        "#!/bin/sh\n"
        f"exec env LLM_SERVING_LOCAL={shlex.quote(str(state.root))} PYTHONPATH={shlex.quote(paths)} "
        'LLM_SERVING_ENGINE_PID="$PPID" '
        f'{shlex.quote(sys.executable)} -m {module} "$@"\n'
    )


def _write_launcher(path: Path, text: str) -> None:
    if path.is_symlink() or not (
        path.exists() and path.read_text(encoding="utf-8") == text and os.access(path, os.X_OK)
    ):
        write_atomically(path, text, mode=0o755)
