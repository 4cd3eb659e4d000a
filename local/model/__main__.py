"""``python -m local.model make --target DIR [--seed N]``: make the tiny model and say where it is.

``list`` shows the variants that releases name.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from local.model.maker import ModelError, make
from local.model.models import REPOSITORY, SHAPE, VARIANTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.model", description="A tiny Llama with random weights.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    maker = commands.add_parser("make", help="write the model into a folder, where it is not there already")
    maker.add_argument("--target", type=Path, required=True, metavar="DIR", help="folder that holds models")
    maker.add_argument("--seed", type=int, metavar="N", help="one seed instead of those that releases name")
    commands.add_parser("list", help="show the variants that releases name")
    given = parser.parse_args(arguments)
    if given.command == "list":
        for variant in VARIANTS:
            print(f"{REPOSITORY} {variant.revision} release {variant.release}, seed {variant.seed}")
        print(f"{SHAPE.parameters} parameters, bfloat16")
        return 0
    seeds = [given.seed] if given.seed is not None else [variant.seed for variant in VARIANTS]
    try:
        for seed in seeds:
            print(make(given.target, seed).folder)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
