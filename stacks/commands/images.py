"""``stacks images``: container images for a registry, and the lock that names them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stacks.commands.options import Releases
from stacks.images import buildx
from stacks.images.lock import missing_digest, push_command, read_images
from stacks.releases import RELEASES

app = typer.Typer(no_args_is_help=True, help="Container images: build, push, pin, list.")

LockedName = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The image, as the lock is to name it.")]


@app.command()
def build(
    name: Annotated[
        str, typer.Argument(help="vllm, quantizer (both for GPUs), gateway, model-loader, proxy, router or redis.")
    ],
    archive: Annotated[Path, typer.Option(metavar="FILE", help="OCI archive to write.")],
    base: Annotated[str | None, typer.Option(metavar="IMAGE@DIGEST", help="Base in place of the Dockerfile's.")] = None,
    builder: Annotated[
        str | None, typer.Option(metavar="IMAGE@DIGEST", help="Image that builds, in place of the Dockerfile's.")
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="OS/ARCH", help="By default linux/amd64. Repeatable.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the command instead of running it.")] = False,
) -> None:
    """Build an image for a registry into an archive; Docker with buildx does it."""
    bases = {"BASE_IMAGE": base, "BUILDER_IMAGE": builder}
    planned = buildx.plan_build(name, bases=bases, platforms=platforms or ["linux/amd64"])
    if show:
        print(buildx.shell_text(planned.command(archive)))
        return
    buildx.build(planned, archive)
    print(f"{archive}: next, {push_command(planned.locked_as).replace('FILE', str(archive))}")


@app.command()
def push(
    name: LockedName,
    archive: Annotated[Path, typer.Option(metavar="FILE", help="OCI archive, of buildx, buildah or skopeo.")],
    to: Annotated[str, typer.Option(metavar="REGISTRY", help="Registry, and the path in front of the image's name.")],
    releases: Releases = RELEASES,
) -> None:
    """Upload an image to a registry, and write where it is and its digest into the lock."""
    from stacks.images.publish import push_image  # loads an HTTP client, which no other command of `stacks` needs

    image = push_image(name, archive, to, releases, say=lambda line: print(line, file=sys.stderr))
    print(f"{name}  {image.reference}")


@app.command()
def pin(
    name: LockedName,
    image: Annotated[
        str | None, typer.Option(metavar="REPOSITORY:TAG", help="What it names, where the lock does not say it yet.")
    ] = None,
    releases: Releases = RELEASES,
) -> None:
    """Write the digest that an image's tag leads to now into the lock."""
    from stacks.images.publish import pin_image

    pinned = pin_image(name, image, releases, say=lambda line: print(line, file=sys.stderr))
    print(f"{name}  {pinned.reference}")


@app.command("list")
def list_images(releases: Releases = RELEASES) -> None:
    """List the images of the lock: each by digest, or what it still lacks."""
    images = read_images(releases)
    for name, image in sorted(images.items()):
        lacks = "no digest" if image.pushed else "in no registry"
        print(f"{name}  {image.reference}{'' if image.digest else f'  {lacks}: {missing_digest(name, images)}'}")
