"""The ``stacks`` program: what is done to an environment apart from ``pulumi up`` itself."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from llm_serving.errors import ProblemsError
from stacks.releases import RELEASES, lock_releases, read_releases
from stacks.report.cluster_view import read_cluster
from stacks.report.quotas import quotas_table
from stacks.report.summary import errors, plan_summary, stack_summary
from stacks.settings import GcpSettings, Stack, read_settings_file, resolve
from stacks.settings.schema import settings_schema

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
release_app = typer.Typer(no_args_is_help=True, help="Model releases: list, verify, lock.")
app.add_typer(release_app, name="release")

StackName = Annotated[str, typer.Argument(help="Stack, for example dev: its settings are Pulumi.<stack>.yaml.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder that holds the settings files.")]
Plain = Annotated[bool, typer.Option("--plain", help="No colours and no wrapping: for logs and files.")]


@app.command()
def check(stack: StackName, folder: Folder = Path()) -> None:
    """Check the settings of a stack without the engine and without a cloud."""
    found = _stack(stack, folder)
    print(f"{found.source}: fine, {len(found.settings.pools)} pools, {len(found.models)} models")


@app.command()
def plan(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """Show what the settings lead to: pools, models and how they fit, cost an hour."""
    _console(plain).print(plan_summary(_stack(stack, folder)))


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
    _console(plain).print(stack_summary(_stack(stack, folder), values, view))
    if errors(view):
        raise typer.Exit(1)


@app.command()
def quotas(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """List the GPU quotas that the cloud must grant before the stack can reach its maximum."""
    found = _stack(stack, folder)
    if not isinstance(found.settings, GcpSettings):
        print(f"{found.source}: the cluster is already there, no quota is needed")
        return
    _console(plain).print(quotas_table(found.settings))


@app.command()
def schema() -> None:
    """Print the settings as JSON Schema, for editors."""
    print(json.dumps(settings_schema(), indent=2))


@release_app.command("list")
def list_releases() -> None:
    """List every release with its hash."""
    for release in read_releases().values():
        spec = release.spec
        engine = f"{spec.engine.name} {spec.engine.version}"
        print(f"{spec.name} {spec.version}  {engine}  {spec.model.repository}  {release.sha256[:12]}")


@release_app.command()
def verify() -> None:
    """Check that no release was changed after it was locked."""
    print(f"{len(read_releases())} releases, none changed")


@release_app.command()
def lock() -> None:
    """Add new releases to the lock; refuses where a locked one was changed."""
    new = lock_releases(RELEASES)
    print("\n".join(f"locked {file}" for file in new) or "nothing new")


def _stack(name: str, folder: Path) -> Stack:
    path = folder / f"Pulumi.{name}.yaml"
    return resolve(read_settings_file(path), path.name)


def _console(plain: bool) -> Console:
    if plain:
        return Console(no_color=True, width=200, highlight=False)
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


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
