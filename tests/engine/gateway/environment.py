"""The Traefik that the proxy's image has; ``python -m tests.engine.gateway.environment`` fetches it, in seconds."""

import sys
from pathlib import Path

from stacks.images import IMAGES
from tests.images.locked_environment import LockedEnvironment

PROXY = LockedEnvironment(
    "proxy", IMAGES / "proxy" / "requirements.txt", "Traefik, 190 MB", "tests.engine.gateway.environment"
)


def traefik() -> Path:
    """The program.

    Raises:
        NotHereError: it was not fetched.
    """
    return PROXY.interpreter().with_name("traefik")


if __name__ == "__main__":
    sys.exit(PROXY.make())
