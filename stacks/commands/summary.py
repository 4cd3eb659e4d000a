"""``stacks summary``: what is there after an update?"""

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
from stacks.report.cluster_view import read_cluster
from stacks.report.stack_report import report_stack
from stacks.report.summary import summary_sections


def summary(
    stack: StackName,
    outputs: Outputs,
    kubeconfig: Annotated[Path, typer.Option(help="Kubeconfig of the stack's cluster.")],
    folder: Folder = Path(),
    plain: Plain = False,
    form: Formatted = Format.TABLE,
) -> None:
    """Show what there is: nodes, where each pod was scheduled, endpoints, cost an hour."""
    report = report_stack(read_stack(stack, folder), read_stack_outputs(outputs), read_cluster(kubeconfig))
    print_report(report, summary_sections(report), form, plain=plain)
    if report.errors:
        raise typer.Exit(1)
