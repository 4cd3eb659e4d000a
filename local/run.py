"""``python -m local.run up|preview|destroy|refresh STACK``: the Pulumi program of this repository on this machine.

Stack ``local`` serves in real pods (``local.endpoint``), every other one on the local clouds. Arguments after the stack
go to ``pulumi`` as they are.
"""

import argparse
import sys
from collections.abc import Sequence

from llm_serving.errors import ProblemsError
from local import endpoint
from local.cluster import ClusterError
from local.cluster.rest import ApiError, UnreachableError
from local.home import Home
from local.images import ImageError
from local.plugin_choice import PluginError
from local.pulumi import Runner, preview, up

_TOLD = (ClusterError, ImageError, PluginError, ProblemsError, ApiError, UnreachableError, FileNotFoundError)
"""Errors whose message is for a person."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description=__doc__)
    parser.add_argument("command", choices=("up", "preview", "destroy", "refresh"))
    parser.add_argument("stack")
    options, rest = parser.parse_known_args(argv)
    runner = Runner(Home.of())
    try:
        return _run(runner, options.command, options.stack, rest)
    except _TOLD as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(runner: Runner, command: str, stack: str, rest: Sequence[str]) -> int:
    if stack == endpoint.STACK:
        if command == "up":
            return endpoint.bring_up(runner, rest)
        opened = endpoint.look_at_endpoint if command == "preview" else endpoint.open_cluster
        runner = opened(runner).runner
    runner.prepare(stack)
    if command == "up":
        return up(runner, stack, rest)
    runner.select(stack)
    if command == "preview":
        return preview(runner, stack, rest)
    return runner.run(command, "--yes", "--stack", stack, *rest).returncode


if __name__ == "__main__":
    sys.exit(main())
