"""``python -m local.images``: build the images, list them, remove what is not needed."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.images import BuiltImage, ImageError, Images
from local.images.commands import elapsed
from local.images.disk import gigabytes
from local.images.recipes import BASE, RECIPES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.images", description="Container images, built here.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the images whose inputs have changed")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join([BASE, *RECIPES])} (all by default)")
    build.add_argument("--source", type=Path, metavar="DIR", help="folder of models, for tiny-model")
    commands.add_parser("list", help="show the images that are there")
    clean = commands.add_parser("clean", help="remove archives, and images that today's sources do not give")
    clean.add_argument("--all", action="store_true", help="remove every image")
    given = parser.parse_args(arguments)
    try:
        images = Images()
        if given.command == "build":
            names = given.names or [name for name in images.names() if name != "tiny-model" or given.source]
            _show([images.build(name, given.source) for name in names])
        elif given.command == "list":
            _list(images)
        else:
            for reference in images.clean(everything=given.all):
                print(f"{reference}: removed")
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _show(built: Sequence[BuiltImage]) -> None:
    table = Table("image", "size", "time", "")
    for image in built:
        state = "built" if image.built else "was there"
        table.add_row(image.reference, gigabytes(image.size_bytes), elapsed(image.seconds), state)
    _console().print(table)


def _list(images: Images) -> None:
    table = Table("image", "size", "image id", "")
    for image in images.stored():
        state = "current" if images.is_current(image) else "outdated"
        table.add_row(image.reference, gigabytes(image.size_bytes), image.image_id.removeprefix("sha256:")[:12], state)
    _console().print(table)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)


if __name__ == "__main__":
    sys.exit(main())
