"""``python -m local model``: the tiny model of stack ``local``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="A tiny Llama with random weights: make, list.")


@app.command()
def make(
    target: Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds models.")],
    seed: Annotated[int | None, typer.Option(metavar="N", help="One seed instead of those that releases name.")] = None,
) -> None:
    """Write the model into a folder, where it is not there already, and print where."""
    from local.model import VARIANTS, make

    for number in [variant.seed for variant in VARIANTS] if seed is None else [seed]:
        print(make(target, number).folder)


@app.command("list")
def list_variants() -> None:
    """Show the variants that releases name."""
    from local.model.variants import REPOSITORY, SHAPE, VARIANTS

    for variant in VARIANTS:
        print(f"{REPOSITORY} {variant.revision} release {variant.release}, seed {variant.seed}")
    print(f"{SHAPE.parameters} parameters, bfloat16")
