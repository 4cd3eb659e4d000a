"""``stacks explain``: what was decided for a model, and why?"""

from pathlib import Path
from typing import Annotated

import typer

from llm_serving.errors import Problem, ProblemsError, nearest
from stacks.commands.options import Folder, Plain, StackName, console, read_stack
from stacks.report.explain import explain_model


def explain(
    stack: StackName,
    model: Annotated[
        str | None, typer.Argument(help="Model; all models where it is left out.", show_default=False)
    ] = None,
    folder: Folder = Path(),
    plain: Plain = False,
) -> None:
    """Show all that was decided for a model, and why: releases, memory, cold start, drain, scaling, cost."""
    explained = read_stack(stack, folder)
    names = [served.spec.name for served in explained.models]
    if model is not None and model not in names:
        problem = Problem("MODEL", model, "is not served by this stack", nearest(model, names))
        raise ProblemsError([problem], explained.source)
    for served in explained.models:
        if model in (None, served.spec.name):
            console(plain).print(explain_model(explained, served))
