"""``stacks keys``: keys of the gateway. A key is shown once, when it is made; settings have its hash."""

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from llm_serving.arguments import parse, plain_set
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import KeySpec
from stacks.commands.options import Folder, Format, Formatted, Plain, StackName, print_report, read_stack
from stacks.documents import dump_yaml
from stacks.keys import PREFIX, hash_key, is_key, make_key
from stacks.report.keys import is_expired, keys_sections, report_keys

app = typer.Typer(no_args_is_help=True, help="Keys of the gateway: make, list, check.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the key, in metrics and reports.")],
    team: Annotated[str, typer.Option(help="Team that it belongs to.")],
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Model that it may ask; all by default. Repeatable.")
    ] = None,
) -> None:
    """Make a key. Prints it, once and nowhere else, and the lines for `gateway.keys` of the settings with its hash."""
    key = make_key()
    limited = {"models": models} if models else {}
    spec = parse(KeySpec, {"name": name, "sha256": hash_key(key), "team": team, **limited}, "the key")
    print(key)
    lines = dump_yaml([plain_set(spec)])
    print(f"\nNobody can show it again. For llm-serving:gateway.keys in the settings:\n{lines}", end="")


@app.command("list")
def list_keys(stack: StackName, folder: Folder = Path(), plain: Plain = False, form: Formatted = Format.TABLE) -> None:
    """List the keys of a stack with their limits."""
    report = report_keys(read_stack(stack, folder), datetime.now(UTC))
    print_report(report, keys_sections(report), form, plain=plain)


@app.command()
def check(stack: StackName, folder: Folder = Path()) -> None:
    """Say which key of the settings a key is, read from standard input or asked for; fails where it is none of them."""
    text = (getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not is_key(text):
        reason = f"no key was given: {PREFIX} and 43 letters, digits, '-' and '_'"
        raise ProblemsError([Problem("", None, reason)], "standard input")
    gateway = read_stack(stack, folder).settings.gateway
    keys = () if gateway is None else gateway.keys
    spec = next((key for key in keys if key.sha256 == hash_key(text)), None)
    source = f"Pulumi.{stack}.yaml"
    if spec is None:
        raise ProblemsError([Problem("llm-serving:gateway.keys", None, "none of them is this key")], source)
    if is_expired(spec, datetime.now(UTC)):
        raise ProblemsError([Problem(f"key {spec.name}", None, f"expired at {spec.expires}")], source)
    models = ", ".join(spec.models) or "every model"
    print(f"{spec.name} of team {spec.team}: {models}, {f'until {spec.expires}' if spec.expires else 'without an end'}")
