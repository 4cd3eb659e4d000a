"""The Python of the model of embeddings; ``python -m tests.images.gateway.similarity.environment`` makes it."""

import sys
from pathlib import Path

from tests.images.locked_environment import LockedEnvironment

SIMILARITY = LockedEnvironment(
    "similarity",
    Path(__file__).with_name("requirements.txt"),
    "a model of embeddings and a Redis 8, 90 MB",
    "tests.images.gateway.similarity.environment",
)

if __name__ == "__main__":
    sys.exit(SIMILARITY.make())
