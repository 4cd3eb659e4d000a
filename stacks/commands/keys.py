"""``stacks keys``: keys of the gateway. A key is shown once, when it is made; settings, or the table, have its hash."""

import getpass
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from llm_serving.arguments import parse, plain_set
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import KeySpec
from stacks.commands.options import Folder, Format, Formatted, Plain, StackName, print_report, read_stack
from stacks.documents import dump_yaml
from stacks.key_table import check_table_key, in_database
from stacks.keys import PREFIX, hash_key, is_key, make_key
from stacks.report.keys import is_expired, keys_sections, report_keys
from stacks.settings import Stack

app = typer.Typer(no_args_is_help=True, help="Keys of the gateway: in the settings, or in a table.")


_VARIABLE = "LLM_SERVING_KEYS_DATABASE"
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar=_VARIABLE,
        help="URL of the database with the table: postgresql://user@host/database. Better by the variable: others on "
        "this machine see what a command is called with.",
        show_default=False,
    ),
]
KeyName = Annotated[str, typer.Argument(help="Name of the key, in metrics and reports.")]


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


@app.command()
def migrate(
    stack: StackName,
    database: Database = None,
    folder: Folder = Path(),
    gateway_role: Annotated[
        str | None, typer.Option(help="User of the gateway's pods: gets the rights that they need.")
    ] = None,
) -> None:
    """Make the tables of keys and budgets, or bring them to this version; does nothing where they are."""
    _stack_with_table(stack, folder)
    applied = in_database(_given(database), lambda tables: tables.migrate(gateway_role))
    print(f"applied: {', '.join(applied)}" if applied else "nothing to do")


@app.command()
def add(
    stack: StackName,
    name: KeyName,
    team: Annotated[str, typer.Option(help="Team that it belongs to.")],
    database: Database = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Model that it may ask; all by default. Repeatable.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Tokens a minute.")] = None,
    parallel_requests: Annotated[int | None, typer.Option(help="Requests at once.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="US dollars in a period.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Tokens in a period.")] = None,
    budget_days: Annotated[int | None, typer.Option(help="Length of the period; 30 by default.")] = None,
    expires: Annotated[str | None, typer.Option(help="Moment from which on it is refused, RFC 3339 in UTC.")] = None,
    service_class: Annotated[str | None, typer.Option(help="critical, standard (the default) or batch.")] = None,
    cache_scope: Annotated[str | None, typer.Option(help="key or team; as the cache says by default.")] = None,
    folder: Folder = Path(),
) -> None:
    """Make a key and put its hash into the table: it counts at once. Prints it, once and nowhere else."""
    loaded = _stack_with_table(stack, folder)
    budget = {"usd": budget_usd, "tokens": budget_tokens, "days": budget_days}
    budget = {field: value for field, value in budget.items() if value is not None}
    given = {
        "models": models or None,
        "requestsPerMinute": requests_per_minute,
        "tokensPerMinute": tokens_per_minute,
        "parallelRequests": parallel_requests,
        "budget": budget or None,
        "expires": expires,
        "serviceClass": service_class,
        "cacheScope": cache_scope,
    }
    key = make_key()
    fields = {"name": name, "sha256": hash_key(key), "team": team}
    spec = parse(KeySpec, fields | {field: value for field, value in given.items() if value is not None}, "the key")
    if problems := [*check_table_key(loaded, spec)]:
        raise ProblemsError(problems, "the key")
    in_database(_given(database), lambda tables: tables.add(spec))
    print(key)
    print("\nNobody can show it again. It counts from now on.")


@app.command()
def rotate(
    stack: StackName,
    name: KeyName,
    database: Database = None,
    overlap_hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="How long the old one still counts.")] = 24,
    folder: Folder = Path(),
) -> None:
    """Make a key that follows one of the table: both count for a while, under one name and one set of limits."""
    _stack_with_table(stack, folder)
    key = make_key()
    in_database(_given(database), lambda tables: tables.rotate(name, hash_key(key), timedelta(hours=overlap_hours)))
    print(key)
    print(f"\nNobody can show it again. It counts from now on, the one before it for {overlap_hours:g} hours more.")


@app.command()
def revoke(stack: StackName, name: KeyName, database: Database = None, folder: Folder = Path()) -> None:
    """End a key of the table now, with those that it was to follow."""
    loaded = _stack_with_table(stack, folder)
    ended = in_database(_given(database), lambda tables: tables.revoke(name))
    postgres = loaded.settings.gateway and loaded.settings.gateway.postgres
    seconds = postgres.cache_seconds if postgres else 0
    away = postgres.stale_seconds if postgres else 0
    print(
        f"{name}: {ended} ended. Gateways see it at once; one that misses the notice within {seconds} s, "
        f"one that has lost the database within {away} s."
    )


@app.command("list")
def list_keys(
    stack: StackName,
    folder: Folder = Path(),
    database: Database = None,
    plain: Plain = False,
    form: Formatted = Format.TABLE,
) -> None:
    """List the keys of a stack with their limits."""
    loaded = read_stack(stack, folder)
    rows = None if database is None else in_database(database, lambda tables: tables.keys())
    report = report_keys(loaded, datetime.now(UTC), rows)
    print_report(report, keys_sections(report), form, plain=plain)


@app.command()
def check(stack: StackName, folder: Folder = Path(), database: Database = None) -> None:
    """Say which key of the stack a key is, read from standard input or asked for; fails where it is none of them."""
    text = (getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not is_key(text):
        reason = f"no key was given: {PREFIX} and 43 letters, digits, '-' and '_'"
        raise ProblemsError([Problem("", None, reason)], "standard input")
    gateway = read_stack(stack, folder).settings.gateway
    keys = () if gateway is None else gateway.keys
    spec = next((key for key in keys if key.sha256 == hash_key(text)), None)
    source = f"Pulumi.{stack}.yaml"
    row = None
    if spec is None and database is not None:
        row = in_database(database, lambda tables: tables.find(hash_key(text)))
        spec = None if row is None else row.spec
    if spec is None:
        raise ProblemsError([Problem("llm-serving:gateway.keys", None, "none of them is this key")], source)
    if row is not None and row.ends_at is not None and row.ends_at <= datetime.now(UTC):
        raise ProblemsError([Problem(f"key {spec.name}", None, f"was revoked at {row.ends_at}")], "the table")
    if is_expired(spec, datetime.now(UTC)):
        raise ProblemsError([Problem(f"key {spec.name}", None, f"expired at {spec.expires}")], source)
    models = ", ".join(spec.models) or "every model"
    print(f"{spec.name} of team {spec.team}: {models}, {f'until {spec.expires}' if spec.expires else 'without an end'}")


def _stack_with_table(stack: str, folder: Path) -> Stack:
    """The stack, whose gateway has a table of keys.

    Raises:
        ProblemsError: it has none, or the stack is refused.
    """
    loaded = read_stack(stack, folder)
    gateway = loaded.settings.gateway
    if gateway is None or gateway.postgres is None:
        reason = "not given: the gateway reads no table, and a key in one would never count"
        raise ProblemsError([Problem("llm-serving:gateway.postgres", None, reason)], loaded.source)
    return loaded


def _given(database: str | None) -> str:
    """The database's URL.

    Raises:
        ProblemsError: none is given.
    """
    if not database:
        raise ProblemsError([Problem("", None, f"required: --database, or {_VARIABLE}")], "the database")
    return database
