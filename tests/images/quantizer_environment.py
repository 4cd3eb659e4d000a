"""The Python that the quantizer's image has; ``python -m tests.images.quantizer_environment`` makes it, in minutes."""

import sys

from stacks.images import IMAGES
from tests.images.locked_environment import LockedEnvironment

SOURCES = IMAGES / "quantizer" / "src"
QUANTIZER = LockedEnvironment(
    "quantizer",
    IMAGES / "quantizer" / "requirements-cpu.txt",
    "llm-compressor for the CPU, 5 GB",
    "tests.images.quantizer_environment",
)

if __name__ == "__main__":
    sys.exit(QUANTIZER.make())
