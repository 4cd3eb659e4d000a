"""``llm-serving-gateway``: writes LiteLLM's configuration from ours and serves it until it is told to stop;
``llm-serving-gateway worker`` works off the queue in its place.

By uvicorn with httptools, in one process. Granian, which LiteLLM offers too, took 4 % less CPU a request in one run
with both on 29 November 2026 (30.0 against 31.4 ms on two busy cores), and a second process of 43 MB.
"""

import json
import os
import secrets
import signal
import sys
from collections.abc import MutableMapping

from llm_serving_gateway.configuration import ConfigurationError, Files, read_configuration
from llm_serving_gateway.litellm_configuration import render

GRACE_SECONDS = 3600
"""How long requests that run may take after SIGTERM; the pod's own grace period ends them earlier."""


APPLICATIONS = {"": "llm_serving_gateway.application:create", "worker": "llm_serving_gateway.queue.worker:create"}
"""What is served, by the word after the program's name."""


def main() -> int:
    """Serve; the exit status is 78 (EX_CONFIG) where the configuration is refused, 64 (EX_USAGE) where the word is not
    known."""
    role = " ".join(sys.argv[1:])
    if role not in APPLICATIONS:
        print(f"error: {role}: one of nothing, worker", file=sys.stderr)
        return 64
    files = Files.from_environment()
    try:
        configuration = read_configuration(files.gateway)
        if role and configuration.queue is None:
            raise ConfigurationError(f"{files.gateway}: queue: a worker needs one")
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 78
    path = files.work / "litellm.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(render(configuration), indent=1))
    _prepare(os.environ, str(path))

    # uvicorn finishes what runs, and then raises the signal again.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

    import uvicorn  # LiteLLM, which the application imports, reads the environment on import

    uvicorn.run(
        APPLICATIONS[role],
        factory=True,
        host=os.environ.get("LLM_SERVING_GATEWAY_HOST", "0.0.0.0"),
        port=int(os.environ.get("LLM_SERVING_GATEWAY_PORT", "4000")),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
    )
    return 0


def _prepare(environment: MutableMapping[str, str], configuration: str) -> None:
    environment["CONFIG_FILE_PATH"] = configuration
    # It refuses to start without one. Nobody can use it: `custom_auth` alone decides, and what a master key opens is
    # not reachable.
    environment["LITELLM_MASTER_KEY"] = f"sk-{secrets.token_urlsafe(32)}"
    environment["LITELLM_MODE"] = "PRODUCTION"
    environment["LITELLM_LOG"] = "ERROR"
    # It would end a stream after a hundred equal chunks (`streaming_handler.py`, 1.110): what a model writes, however
    # often, is the client's to judge.
    environment["REPEATED_STREAMING_CHUNK_LIMIT"] = str(sys.maxsize)
    # Otherwise prices are sought on the internet, three times, ten seconds.
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    for switch in ("NO_DOCS", "NO_REDOC", "NO_OPENAPI", "DISABLE_ADMIN_UI"):
        environment[switch] = "True"


if __name__ == "__main__":
    sys.exit(main())
