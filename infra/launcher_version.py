"""Which launcher the stack runs, and what a change of it means."""

import pulumi

from infra.last_update import last_outputs
from llm_serving.arguments import parse
from llm_serving.launchers import current, launchers
from stacks.outputs import LauncherOutputs
from stacks.settings import NAMESPACE, Stack


def launcher_version(stack: Stack) -> str:
    """The version that the settings name, else the one of the last update as long as the package carries it, else the
    newest. So an upgrade of the package alone restarts nothing. A change is a warning that names the models that
    restart; that there is a newer one is told too."""
    last = parse(LauncherOutputs, last_outputs(), "outputs of the last update").launcher
    version = stack.settings.launcher.version or (last if last in launchers() else current().version)
    assert version is not None
    if pulumi.runtime.is_dry_run():
        _tell(stack, last, version)
    return version


def _tell(stack: Stack, last: str | None, version: str) -> None:
    key = f"{stack.source}: {NAMESPACE}:launcher.version"
    models = ", ".join(stack.launched_models) or "no model"
    if last is not None and version != last:
        why = "" if stack.settings.launcher.version else f", for the package does not carry {last} any more"
        pulumi.log.warn(f"{key}: {version} in the place of {last}{why}: restarts {models}")
    elif stack.settings.launcher.version is None and version != current().version:
        newest = current().version
        pulumi.log.info(f"{key}: {version} runs, and {newest} is there; naming it restarts {models}")
