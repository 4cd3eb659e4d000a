"""``stacks images``: builds of the container images for a registry."""

from typing import Annotated

import typer

from stacks.images.publish import plan_build, push, shell_text

app = typer.Typer(no_args_is_help=True, help="Container images for a registry: release.")


@app.callback()
def group() -> None:
    """Keep ``release`` a command of the group while it is the only one."""


@app.command()
def release(
    name: Annotated[str, typer.Argument(help="vllm (for GPUs) or model-loader.")],
    to: Annotated[str, typer.Option(metavar="REPOSITORY", help="Registry and path, without a tag.")],
    tag: Annotated[
        str | None, typer.Option(help="By default the version of what it runs and a hash over all that goes in.")
    ] = None,
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
    """Build an image for a registry, push it, and print the line for a release file that names it."""
    bases = {"BASE_IMAGE": base, "BUILDER_IMAGE": builder}
    build = plan_build(name, to, tag=tag, bases=bases, platforms=platforms or ["linux/amd64"])
    print(shell_text(build.command()) if show else build.image(push(build)))
