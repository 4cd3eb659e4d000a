"""``stacks changes``: what does an update change for those who pay and those who use the models?"""

from pathlib import Path
from typing import Annotated

import typer

from stacks.commands.options import (
    Folder,
    Format,
    Formatted,
    Outputs,
    Plain,
    StackName,
    print_report,
    read_stack,
    read_stack_outputs,
)
from stacks.engine_events import read_events
from stacks.report.changes import change_sections
from stacks.report.stack_changes import compare_stack


def changes(
    stack: StackName,
    outputs: Outputs,
    events: Annotated[
        Path | None, typer.Option(help="The preview's events, from `pulumi preview --event-log`.", show_default=False)
    ] = None,
    folder: Folder = Path(),
    plain: Plain = False,
    form: Formatted = Format.TABLE,
) -> None:
    """Show what an update changes: cost, GPUs and quotas before and after, models that restart or move."""
    told = None if events is None else read_events(events.read_text(encoding="utf-8").splitlines())
    report = compare_stack(read_stack(stack, folder), read_stack_outputs(outputs), told)
    print_report(report, change_sections(report), form, plain=plain)
