"""Stacks on this machine, the clouds that are simulated for them, images and a tiny model.

Each command imports what it needs itself: the SDKs behind ``up`` take seconds, and ``status`` need not wait for them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from local.commands import images, model

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
app.add_typer(images.app, name="images")
app.add_typer(model.app, name="model")

Stack = Annotated[str, typer.Argument(help="Stack: its settings are Pulumi.<stack>.yaml.")]
PulumiArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="Arguments of `pulumi`, as they are.")
]
_PASS_ON = {"ignore_unknown_options": True}


@app.command(context_settings=_PASS_ON)
def up(stack: Stack, arguments: PulumiArguments = None) -> None:
    """Bring a stack up: `local` in real pods, every other one on the local clouds."""
    _run_pulumi("up", stack, arguments or ())


@app.command(context_settings=_PASS_ON)
def preview(stack: Stack, arguments: PulumiArguments = None) -> None:
    """Show what `up` would change."""
    _run_pulumi("preview", stack, arguments or ())


@app.command(context_settings=_PASS_ON)
def destroy(
    stack: Stack,
    arguments: PulumiArguments = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a stack's resources, after saying which they are and asking."""
    if not yes and not sys.stdin.isatty():
        _fail(
            f"this removes the resources of stack {stack}, and there is no terminal to ask at: "
            f"`make destroy STACK={stack} YES=1`, or --yes"
        )
    _run_pulumi("destroy", stack, arguments or (), ask=not yes)


@app.command(context_settings=_PASS_ON)
def refresh(stack: Stack, arguments: PulumiArguments = None) -> None:
    """Compare a stack's state with what there is."""
    _run_pulumi("refresh", stack, arguments or ())


@app.command()
def prepare() -> None:
    """Make the Pulumi home with its plugins, the backend and a passphrase."""
    from local import pulumi_home
    from local.state_folder import StateFolder

    for path in pulumi_home.prepare(StateFolder.of()):
        print(path)


@app.command()
def env() -> None:
    """Print the environment for the pulumi command, for a shell to evaluate."""
    import shlex

    from local import pulumi_home
    from local.state_folder import StateFolder

    state = StateFolder.of()
    pulumi_home.prepare(state)
    print("unset PULUMI_CONFIG_PASSPHRASE PULUMI_ACCESS_TOKEN PULUMI_STACK")
    for key, value in pulumi_home.environment(state).items():
        print(f"export {key}={shlex.quote(value)}")


@app.command()
def weights(stack: Stack) -> None:
    """Put the weights of a stack with `weights: external` into its simulated bucket."""
    from local.external_weights import seed
    from local.state_folder import REPOSITORY, StateFolder
    from stacks.settings import read_settings_file, resolve

    file = REPOSITORY / f"Pulumi.{stack}.yaml"
    for place in seed(StateFolder.of(), stack, resolve(read_settings_file(file), file.name)):
        print(place)


@app.command()
def status() -> None:
    """Show clusters, pools and resources."""
    from local.state_folder import StateFolder
    from local.status import show_status

    show_status(StateFolder.of())


@app.command()
def plugin() -> None:
    """Say which kubernetes plugin runs: ours, or the official one."""
    from local import kubernetes_plugin
    from local.state_folder import StateFolder

    print(kubernetes_plugin.describe(StateFolder.of()))


@app.command()
def start() -> None:
    """Start control planes that do not run, for example after a reboot."""
    from local.state_folder import StateFolder

    state = StateFolder.of()
    for api in state.aws_apis():
        api.start()
    for directory, cluster in state.control_planes().items():
        if not cluster.running():
            print(f"starting the control plane of {directory}", flush=True)
            cluster.start()


@app.command()
def stop() -> None:
    """Stop all control planes and APIs of the local AWS; their state stays."""
    from local.state_folder import StateFolder

    state = StateFolder.of()
    for directory, cluster in state.control_planes().items():
        cluster.stop()
        print(f"{directory}: stopped")
    for api in state.aws_apis():
        api.stop()


@app.command()
def kubeconfig(
    name: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="Which one, where there are several.")
    ] = None,
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there instead of printing it.")] = None,
) -> None:
    """Print an administrator's kubeconfig of a cluster."""
    import yaml

    from local.state_folder import StateFolder
    from stacks.files import write_atomically

    clusters = StateFolder.of().control_planes()
    chosen = [cluster for folder, cluster in clusters.items() if name in (None, folder.name, str(folder))]
    if len(chosen) != 1:
        known = ", ".join(str(folder) for folder in clusters) or "none; run an update first"
        reason = f"no cluster {name!r}" if name and not chosen else "which cluster? Use --cluster"
        _fail(f"{reason} (there are: {known})")
    text = yaml.safe_dump(chosen[0].kubeconfig(), sort_keys=False)
    if write:
        write_atomically(write, text)  # readable by its owner only: it holds a token
        print(write)
    else:
        print(text, end="")


@app.command()
def clean(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove all state."""
    from local.state_folder import StateFolder

    state = StateFolder.of()
    if not state.root.exists():
        print(f"{state.root} is not there")
        return
    if foreign := state.foreign_entries():
        _fail(f"{state.root} holds what is not ours: {', '.join(foreign)}")
    if not yes:
        if not sys.stdin.isatty():
            _fail("this removes all simulated clouds and their Pulumi state; say --yes")
        if not _agrees(f"Remove {state.root} with all simulated clouds and their Pulumi state?"):
            raise typer.Exit(1)
    state.remove()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; an error that a user can mend is shown as such, without a traceback."""
    try:
        app(arguments, prog_name="python -m local")
    except Exception as error:
        if not isinstance(error, _user_errors()):
            raise
        _fail(str(error))


def _run_pulumi(command: str, stack: str, arguments: Sequence[str], *, ask: bool = False) -> None:
    from local import endpoint, stack_runner
    from local.state_folder import StateFolder

    runner = stack_runner.StackRunner(StateFolder.of())
    if stack == endpoint.STACK:
        if command == "up":
            raise typer.Exit(endpoint.bring_up(runner, arguments))
        open_stack = endpoint.look_at_endpoint if command == "preview" else endpoint.open_cluster
        runner = open_stack(runner).runner
    runner.prepare(stack)
    if command == "up":
        raise typer.Exit(stack_runner.up(runner, stack, arguments))
    runner.select(stack)
    if command == "preview":
        raise typer.Exit(stack_runner.preview(runner, stack, arguments))
    if command == "destroy":
        raise typer.Exit(stack_runner.destroy(runner, stack, arguments, _agrees if ask else None))
    raise typer.Exit(runner.run(command, "--yes", "--stack", stack, *arguments).returncode)


def _agrees(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors whose message is for a person. Their modules are there already where one of them was raised."""
    from llm_serving.errors import ProblemsError
    from local.cluster import ClusterError
    from local.cluster.rest import ApiError, UnreachableError
    from local.model import ModelError
    from stacks.images import ImageError

    return (ClusterError, ImageError, ModelError, ProblemsError, ApiError, UnreachableError, FileNotFoundError)
