"""Arguments and options that several commands have, and the console that they print on."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stacks.settings import Stack, read_settings_file, resolve

StackName = Annotated[str, typer.Argument(help="Stack, for example dev: its settings are Pulumi.<stack>.yaml.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder that holds the settings files.")]
Releases = Annotated[
    Path, typer.Option("--releases", help="Folder of the releases and of their images.", show_default=False)
]
Plain = Annotated[bool, typer.Option("--plain", help="No colours and no wrapping: for logs and files.")]


def read_stack(name: str, folder: Path) -> Stack:
    """The stack of a settings file.

    Raises:
        ProblemsError: with everything that is refused.
    """
    path = folder / f"Pulumi.{name}.yaml"
    return resolve(read_settings_file(path), path.name)


def console(plain: bool) -> Console:
    """Where tables are printed."""
    if plain:
        return Console(no_color=True, width=200, highlight=False)
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)
