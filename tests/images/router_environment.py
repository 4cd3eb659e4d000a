"""The Python that the router's image has; ``python -m tests.images.router_environment`` makes it, in seconds."""

import sys

from stacks.images import IMAGES
from tests.images.locked_environment import LockedEnvironment

ROUTER = LockedEnvironment(
    "router", IMAGES / "router" / "requirements.txt", "vllm-router, 100 MB", "tests.images.router_environment"
)

if __name__ == "__main__":
    sys.exit(ROUTER.make())
