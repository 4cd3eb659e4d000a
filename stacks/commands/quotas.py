"""``stacks quotas``: which quotas must the cloud grant?"""

from pathlib import Path

from stacks.commands.options import Folder, Plain, StackName, console, read_stack
from stacks.report.quotas import quotas_table


def quotas(stack: StackName, folder: Folder = Path(), plain: Plain = False) -> None:
    """List the GPU quotas that the cloud must grant before the stack can reach its maximum."""
    planned = read_stack(stack, folder)
    if not planned.settings.buys_nodes:
        print(f"{planned.source}: the cluster is already there, no quota is needed")
        return
    console(plain).print(quotas_table(planned))
