"""``stacks explain``: what was decided for a model, and why?"""

from pathlib import Path
from typing import Annotated

import typer

from llm_serving.errors import Problem, ProblemsError, nearest_or_few
from stacks.commands.options import Folder, Format, Formatted, Plain, StackName, print_report, read_stack
from stacks.report.explain import model_sections
from stacks.report.explain_report import report_models
from stacks.report.summary import quantizations_section


def explain(
    stack: StackName,
    model: Annotated[
        str | None, typer.Argument(help="Model; all models where it is left out.", show_default=False)
    ] = None,
    folder: Folder = Path(),
    plain: Plain = False,
    form: Formatted = Format.TABLE,
) -> None:
    """Show all that was decided for a model, and why: releases, memory, cold start, drain, scaling, cost."""
    explained = read_stack(stack, folder)
    names = [served.spec.name for served in explained.models]
    if model is not None and model not in names:
        problem = Problem("MODEL", model, "is not served by this stack", nearest_or_few(model, names))
        raise ProblemsError([problem], explained.source)
    report = report_models(explained, model)
    parts = [part for reported in report.models for part in model_sections(reported)]
    if report.quantizations:
        parts.append(quantizations_section(report.quantizations, explained=True))
    print_report(report, parts, form, plain=plain)
