"""The Python of clients that ask the gateway in tests; ``python -m tests.images.gateway.clients_environment`` makes
it, in seconds."""

import sys
from pathlib import Path

from tests.images.locked_environment import LockedEnvironment

CLIENTS = LockedEnvironment(
    "clients",
    Path(__file__).with_name("requirements-clients.txt"),
    "clients of OpenAI's interface, 130 MB",
    "tests.images.gateway.clients_environment",
)

if __name__ == "__main__":
    sys.exit(CLIENTS.make())
