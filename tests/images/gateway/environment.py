"""The Python that the gateway's image has; ``python -m tests.images.gateway.environment`` makes it, in seconds."""

import sys

from stacks.images import IMAGES
from tests.images.locked_environment import LockedEnvironment

SOURCES = IMAGES / "gateway" / "src"
GATEWAY = LockedEnvironment(
    "gateway", IMAGES / "gateway" / "requirements.txt", "LiteLLM, 340 MB", "tests.images.gateway.environment"
)

if __name__ == "__main__":
    sys.exit(GATEWAY.make())
