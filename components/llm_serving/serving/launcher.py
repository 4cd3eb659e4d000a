"""The launcher that our engine images carry (``images/vllm``): its command line, and where it answers health checks.

It starts the inference engine as its child, passes signals on and checks the engine's health, so that a pod is ready
only when the model answers, and is restarted when the engine hangs.
"""

from collections.abc import Sequence

import pulumi

from llm_serving.serving.engines import InferenceEngine

PORT = 8080
PORT_NAME = "health"
READY_PATH = "/health/ready"
LIVE_PATH = "/health/live"


def launched(
    engine: InferenceEngine,
    model: str,
    command: Sequence[pulumi.Input[str]],
    *,
    warm_up: bool = False,
    options: Sequence[str] = (),
) -> list[pulumi.Input[str]]:
    """The engine's command line under the launcher.

    Args:
        engine: engine whose API the launcher checks.
        model: name that the engine must list before it counts as ready.
        command: the engine's own command line.
        warm_up: have a short request answered before the engine counts as ready.
        options: more options of the launcher.
    """
    return [
        "llm-serving-engine",
        f"--health-port={PORT}",
        f"--engine-url=http://127.0.0.1:{engine.port}",
        f"--model={model}",
        *(["--warm-up"] if warm_up else []),
        *options,
        "--",
        *command,
    ]
