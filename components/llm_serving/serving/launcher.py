"""The launcher of the engines: how it gets into a pod, its command line, and where it answers health checks.

It starts the inference engine as its child, passes signals on and checks the engine's health, so that a pod is ready
only when the model answers, and is restarted when the engine hangs. An image may have it inside; to all others it comes
as a zip (``llm_serving.launchers``) in a ConfigMap, and the image's own Python runs it.
"""

import base64
from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core, meta

from llm_serving.component import child
from llm_serving.errors import Problem, ProblemsError, nearest
from llm_serving.launchers import COMMAND, Launcher, current, launchers
from llm_serving.serving.engines import InferenceEngine
from llm_serving.spec import ModelSpec, ReleaseSpec

PORT = 8080
PORT_NAME = "health"
READY_PATH = "/health/ready"
LIVE_PATH = "/health/live"
HEALTH_PATH = "/health"
"""Where the launcher asks the engine unless it is told otherwise."""

MOUNT = "/opt/llm-serving-launcher"
VOLUME = "launcher"
INSIDE = ("llm-serving-engine",)
"""Command of a launcher that the image has inside."""


def travelling(model: ModelSpec, release: ReleaseSpec, version: str | None) -> Launcher | None:
    """The launcher that has to come with a release; ``None`` where its image has one, or it runs without.

    Args:
        model: may run without.
        release: its image may have one.
        version: ``None`` for the newest.

    Raises:
        ProblemsError: the package does not carry that version.
    """
    if not model.engine.launcher or release.image.launcher:
        return None
    if version is None:
        return current()
    carried = launchers()
    if version not in carried:
        reason = "is not a launcher that this version of the package carries"
        raise ProblemsError([Problem("launcherVersion", version, reason, nearest(version, carried))])
    return carried[version]


def config_map(
    parent: pulumi.Resource,
    name: str,
    launcher: Launcher | None,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
) -> pulumi.Output[str] | None:
    """Register the ConfigMap with a launcher and give its name; ``None`` where there is no launcher. The name has the
    launcher's digest: under a name the content never changes, and another launcher is another ConfigMap.

    Args:
        parent: the component that it belongs to.
        name: what the pods that mount it are called.
        launcher: the launcher.
        namespace: theirs.
        labels: of the object.
    """
    if launcher is None:
        return None
    registered = core.v1.ConfigMap(
        f"{name}-launcher",
        metadata=meta.v1.ObjectMetaArgs(
            name=f"{name}-launcher-{launcher.digest[:12]}", namespace=namespace, labels=labels
        ),
        binary_data={launcher.file_name: base64.b64encode(launcher.archive).decode()},
        immutable=True,
        opts=child(parent),
    )
    return registered.metadata.apply(lambda metadata: metadata.name or "")


def environment(launcher: Launcher) -> dict[str, str]:
    """Variables with which the image's Python finds the launcher, in the engine's processes too: the drain middleware
    and vLLM's plugin run there."""
    return {"PYTHONPATH": f"{MOUNT}/{launcher.file_name}"}


def launched(
    engine: InferenceEngine,
    model: str,
    command: Sequence[pulumi.Input[str]],
    *,
    inside: bool,
    warm_up: bool = False,
    options: Sequence[str] = (),
) -> list[pulumi.Input[str]]:
    """The engine's command line under the launcher.

    Args:
        engine: engine whose API the launcher checks.
        model: name that the engine must list before it counts as ready.
        command: the engine's own command line.
        inside: the image has the launcher inside.
        warm_up: have a short request answered before the engine counts as ready.
        options: more options of the launcher.
    """
    return [
        *(INSIDE if inside else COMMAND),
        f"--health-port={PORT}",
        f"--engine-url=http://127.0.0.1:{engine.port}",
        *([f"--health-path={engine.health_path}"] if engine.health_path != HEALTH_PATH else []),
        *([f"--model={model}"] if engine.lists_its_model else []),
        *(["--warm-up"] if warm_up else []),
        *options,
        "--",
        *command,
    ]
