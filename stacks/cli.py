"""The ``stacks`` program: what is done to an environment apart from ``pulumi up`` itself."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_serving.errors import Problem, ProblemsError, nearest
from stacks.commands import release
from stacks.commands.options import Folder, Plain, StackName, console, read_stack
from stacks.report.cluster_view import read_cluster
from stacks.report.explain import explain_model
from stacks.report.quotas import quotas_table
from stacks.report.summary import errors, plan_summary, stack_summary
from stacks.settings.schema import settings_schema

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(release.app, name="release")


@app.command()
def check(stack: StackName, folder: Folder = Path()) -> None:
    """Check the settings of a stack without the engine and without a cloud."""
    found = read_stack(stack, folder)
    print(f"{found.source}: fine, {len(found.settings.pools)} pools, {len(found.models)} models")


@app.command()
def plan(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """Show what the settings lead to: pools, models and how they fit, cost an hour."""
    console(plain).print(plan_summary(read_stack(stack, folder)))


@app.command()
def explain(
    stack: StackName,
    model: Annotated[
        str | None, typer.Argument(help="Model; all models where it is left out.", show_default=False)
    ] = None,
    folder: Folder = Path(),
    plain: Plain = False,
) -> None:
    """Show all that was decided for a model, and why: releases, memory, cold start, drain, scaling, cost."""
    found = read_stack(stack, folder)
    names = [served.spec.name for served in found.models]
    if model is not None and model not in names:
        raise ProblemsError(
            [Problem("MODEL", model, "is not served by this stack", nearest(model, names))], found.source
        )
    for served in found.models:
        if model in (None, served.spec.name):
            console(plain).print(explain_model(found, served))


@app.command()
def summary(
    stack: StackName,
    outputs: Annotated[Path, typer.Option(help="Outputs, from `pulumi stack output --json`; - for standard input.")],
    kubeconfig: Annotated[Path, typer.Option(help="Kubeconfig of the stack's cluster.")],
    folder: Folder = Path(),
    plain: Plain = False,
) -> None:
    """Show what there is: nodes, where each pod was scheduled, endpoints, cost an hour."""
    text = sys.stdin.read() if str(outputs) == "-" else outputs.read_text(encoding="utf-8")
    values: dict[str, Any] = json.loads(text)
    view = read_cluster(kubeconfig)
    console(plain).print(stack_summary(read_stack(stack, folder), values, view))
    if errors(view):
        raise typer.Exit(1)


@app.command()
def quotas(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """List the GPU quotas that the cloud must grant before the stack can reach its maximum."""
    found = read_stack(stack, folder)
    if not found.settings.buys_nodes:
        print(f"{found.source}: the cluster is already there, no quota is needed")
        return
    console(plain).print(quotas_table(found))


@app.command()
def schema() -> None:
    """Print the settings as JSON Schema, for editors."""
    print(json.dumps(settings_schema(), indent=2))


def main(run: Callable[[], Any] = app) -> None:
    """Entry point; an error that a user can mend is shown as such, without a traceback."""
    try:
        run()
    except ProblemsError as error:
        several = f"{len(error.problems)} problems\n" if len(error.problems) > 1 else ""
        print(f"error: {several}{error}", file=sys.stderr)
        sys.exit(1)
    except ConnectionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
