"""``stacks summary``: what is there after an update?"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from stacks.commands.options import Folder, Plain, StackName, console, read_stack
from stacks.outputs import read_outputs
from stacks.report.cluster_view import read_cluster
from stacks.report.summary import errors, stack_summary


def summary(
    stack: StackName,
    outputs: Annotated[Path, typer.Option(help="Outputs, from `pulumi stack output --json`; - for standard input.")],
    kubeconfig: Annotated[Path, typer.Option(help="Kubeconfig of the stack's cluster.")],
    folder: Folder = Path(),
    plain: Plain = False,
) -> None:
    """Show what there is: nodes, where each pod was scheduled, endpoints, cost an hour."""
    text = sys.stdin.read() if str(outputs) == "-" else outputs.read_text(encoding="utf-8")
    values = read_outputs(json.loads(text), str(outputs))
    view = read_cluster(kubeconfig)
    console(plain).print(stack_summary(read_stack(stack, folder), values, view))
    if errors(view):
        raise typer.Exit(1)
