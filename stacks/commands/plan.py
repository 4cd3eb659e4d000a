"""``stacks plan``: what would the settings of a stack lead to?"""

from pathlib import Path

from stacks.commands.options import Folder, Format, Formatted, Plain, StackName, print_report, read_stack
from stacks.report.stack_report import report_stack
from stacks.report.summary import summary_sections


def plan(stack: StackName, folder: Folder = Path(), plain: Plain = False, form: Formatted = Format.TABLE) -> None:
    """Show what the settings lead to: pools, models and how they fit, cost an hour."""
    report = report_stack(read_stack(stack, folder))
    print_report(report, summary_sections(report), form, plain=plain)
