"""Arguments and options that several commands have, and how they print what they report."""

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from llm_serving.errors import Problem, ProblemsError
from stacks.outputs import StackOutputs, read_outputs
from stacks.releases import RELEASES
from stacks.report.sections import Part, markdown, plain_text, print_tables, terminal
from stacks.settings import Stack, read_settings_file, resolve


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


StackName = Annotated[str, typer.Argument(help="Stack, for example dev: its settings are Pulumi.<stack>.yaml.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder that holds the settings files.")]
Releases = Annotated[
    Path, typer.Option("--releases", help="Folder of the releases and of their images.", show_default=False)
]
Outputs = Annotated[
    Path, typer.Option("--outputs", help="Outputs, from `pulumi stack output --json`; - for standard input.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Tables without boxes and colours, a row a line: for logs.")]
Formatted = Annotated[
    Format, typer.Option("--format", help="table, json (numbers are numbers, unknown is null) or markdown.")
]


def read_stack(name: str, folder: Path, releases: Path = RELEASES) -> Stack:
    """The stack of a settings file, with the releases of a folder.

    Raises:
        ProblemsError: with everything that is refused.
    """
    path = folder / f"Pulumi.{name}.yaml"
    return resolve(read_settings_file(path), path.name, releases)


def read_stack_outputs(path: Path) -> StackOutputs:
    """The outputs of a stack, of a file or of standard input.

    Raises:
        ProblemsError: what is there is not what `pulumi stack output --json` prints, also of a stack without outputs.
    """
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        command = "what `pulumi stack output --json` prints"
        raise ProblemsError([Problem("", None, f"not JSON: {error}", command)], str(path)) from None
    return read_outputs(data, str(path))


def print_report(report: BaseModel, parts: Iterable[Part], form: Format, *, plain: bool) -> None:
    """Print a report in the form that was asked for."""
    if plain and form is not Format.TABLE:
        raise typer.BadParameter(f"is for tables, not for --format {form.value}", param_hint="--plain")
    if form is Format.JSON:
        print(report.model_dump_json(by_alias=True, indent=2))
    elif form is Format.MARKDOWN:
        print(markdown(parts))
    else:
        print_parts(parts, plain=plain)


def print_parts(parts: Iterable[Part], *, plain: bool) -> None:
    """Print tables."""
    if plain:
        print(plain_text(parts))
    else:
        print_tables(parts, terminal())
