"""``stacks quotas``: which quotas must the cloud grant?"""

from pathlib import Path

from stacks.commands.options import Folder, Format, Formatted, Plain, StackName, print_report, read_stack
from stacks.report.quotas import quota_sections, report_quotas


def quotas(stack: StackName, folder: Folder = Path(), plain: Plain = False, form: Formatted = Format.TABLE) -> None:
    """List the GPU quotas that the cloud must grant before the stack can reach its maximum."""
    report = report_quotas(read_stack(stack, folder))
    print_report(report, quota_sections(report), form, plain=plain)
