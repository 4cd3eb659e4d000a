"""``make bench``: every measurement that this machine can take, one after the other; of the others, what they need.

    python -m bench [--quick] [NAME ...]

Each is a program of its own (``python -m bench.NAME``), so that one that fails takes no other along.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from bench.endpoint import WITHOUT_GATEWAY, is_behind_gateway
from local.endpoint.serving_clusters import OwnNode
from local.state_folder import StateFolder


def _nothing() -> str | None:
    return None


def _pulumi() -> str | None:
    return None if shutil.which("pulumi") else "the program pulumi (make setup)"


def _image_store() -> str | None:
    if os.geteuid() != 0:
        return "root, to mount the engine's image"
    return None if shutil.which("buildah") else "the program buildah (make setup-node)"


def _endpoint() -> str | None:
    missing = _image_store()
    if missing is not None or OwnNode(StateFolder.of()).cluster.running():
        return missing
    return "the running endpoint of stack local (make up)"


def _own_engine() -> str | None:
    missing = _endpoint()
    if missing is not None or not is_behind_gateway(OwnNode(StateFolder.of())):
        return missing
    return f"an engine without a gateway ({WITHOUT_GATEWAY})"


def _redis() -> str | None:
    return None if shutil.which("redis-server") else "the program redis-server (make setup-node)"


def _redis_and_pulumi() -> str | None:
    return _redis() or _pulumi()


PROGRAMS: Mapping[str, Callable[[], str | None]] = {
    "previews": _pulumi,
    "loader": _nothing,
    "gateway": _redis,
    "gateway_faults": _redis_and_pulumi,
    "launcher": _image_store,
    "batching": _image_store,
    "endpoint": _own_engine,
    "up": _endpoint,
}
"""Programs, and what each still needs on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    # argparse compares the empty list, too, with the choices.
    parser.add_argument("names", nargs="*", choices=[[], *PROGRAMS], help="measurements (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round of the smallest size: shows that they work")
    options = parser.parse_args(arguments)
    failed = False
    for name in options.names or PROGRAMS:
        missing = PROGRAMS[name]()
        if missing is not None:
            print(f"{name}: NOT measured, for it needs {missing}", flush=True)
            continue
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", f"bench.{name}", *(["--quick"] if options.quick else [])]
        failed |= subprocess.run(command, check=False).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
