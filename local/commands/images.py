"""``python -m local images``: container images, built on this machine."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Container images, built here: build, archive, list, clean.")


@app.command()
def build(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="base, vllm, model-loader, gateway, quantizer, proxy, router, redis, tiny-model; by default all.",
        ),
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of models, for tiny-model.")] = None,
) -> None:
    """Build the images whose inputs have changed."""
    from local.images import LocalImages
    from local.images.cache import gigabytes
    from local.images.logged_commands import elapsed

    images = LocalImages()
    names = names or [name for name in images.names() if name != "tiny-model" or source]
    rows = [
        (
            image.reference,
            gigabytes(image.size_bytes),
            elapsed(image.seconds),
            "built" if image.built else "was there",
        )
        for image in [images.build(name, source) for name in names]
    ]
    _print_images(("image", "size", "time", "state"), rows)


@app.command()
def archive(
    name: Annotated[str, typer.Argument(help="vllm, model-loader, gateway, quantizer, proxy, router or redis.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="OCI archive to write, for `stacks images push`.")],
) -> None:
    """Write an image, built where its inputs have changed, into an OCI archive."""
    from local.images import LocalImages

    images = LocalImages()
    images.oci_archive(images.build(name), to)
    print(to)


@app.command("list")
def list_images() -> None:
    """Show the images that are there."""
    from local.images import LocalImages
    from local.images.cache import gigabytes

    images = LocalImages()
    rows = [
        (
            image.reference,
            gigabytes(image.size_bytes),
            image.image_id.removeprefix("sha256:")[:12],
            "current" if images.is_current(image) else "outdated",
        )
        for image in images.stored()
    ]
    _print_images(("image", "size", "image id", "state"), rows)


@app.command()
def clean(everything: Annotated[bool, typer.Option("--all", help="Remove every image.")] = False) -> None:
    """Remove archives, and images that today's sources do not give."""
    from local.images import LocalImages

    for reference in LocalImages().clean(everything=everything):
        print(f"{reference}: removed")


def _print_images(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from stacks.report.sections import Section, print_tables, terminal

    print_tables([Section("Images", columns, rows)], terminal())
