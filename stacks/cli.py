"""The ``stacks`` program: what is done to an environment apart from ``pulumi up`` itself."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from llm_serving.errors import ProblemsError
from stacks.commands import images, keys, release
from stacks.commands.changes import changes
from stacks.commands.check import check
from stacks.commands.explain import explain
from stacks.commands.plan import plan
from stacks.commands.quotas import quotas
from stacks.commands.schema import schema
from stacks.commands.summary import summary
from stacks.images import ImageError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
for command in (check, plan, explain, changes, summary, quotas, schema):
    app.command()(command)
app.add_typer(release.app, name="release")
app.add_typer(images.app, name="images")
app.add_typer(keys.app, name="keys")


def main(run: Callable[[], Any] = app) -> None:
    """Entry point; an error that a user can mend is shown as such, without a traceback."""
    try:
        run()
    except ProblemsError as error:
        several = f"{len(error.problems)} problems\n" if len(error.problems) > 1 else ""
        print(f"error: {several}{error}", file=sys.stderr)
        sys.exit(1)
    except (ConnectionError, ImageError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
