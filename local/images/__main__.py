"""``python -m local.images``: build the images, list them, remove what is not needed, release one to a registry."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.images import BuiltImage, ImageError, Images, release
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
    _release_options(commands.add_parser("release", help="build an image for a registry and push it"))
    given = parser.parse_args(arguments)
    try:
        if given.command == "release":
            _release(given)
            return 0
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


def _release_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="vllm (for GPUs) or model-loader")
    parser.add_argument("--to", required=True, metavar="REPOSITORY", help="registry and path, without a tag")
    parser.add_argument("--tag", help="by default the version of what it runs and a hash over all that goes in")
    parser.add_argument("--base", metavar="IMAGE@DIGEST", help="base in place of the Dockerfile's")
    parser.add_argument("--builder", metavar="IMAGE@DIGEST", help="image that builds, in place of the Dockerfile's")
    parser.add_argument(
        "--platform", action="append", metavar="OS/ARCH", help="by default linux/amd64; may be repeated"
    )
    parser.add_argument("--show", action="store_true", help="print the command instead of running it")


def _release(given: argparse.Namespace) -> None:
    bases = {"BASE_IMAGE": given.base, "BUILDER_IMAGE": given.builder}
    planned = release.plan(
        given.name, given.to, tag=given.tag, bases=bases, platforms=given.platform or ["linux/amd64"]
    )
    if given.show:
        print(release.shown(planned.command()))
    else:
        print(planned.image(release.push(planned)))


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
