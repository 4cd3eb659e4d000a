"""``stacks plan``: what would the settings of a stack lead to?"""

from pathlib import Path

from stacks.commands.options import Folder, Plain, StackName, console, read_stack
from stacks.report.summary import plan_summary


def plan(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """Show what the settings lead to: pools, models and how they fit, cost an hour."""
    console(plain).print(plan_summary(read_stack(stack, folder)))
