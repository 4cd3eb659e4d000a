"""``stacks check``: are the settings of a stack accepted?"""

from pathlib import Path

from stacks.commands.options import Folder, StackName, read_stack
from stacks.settings import refuse_unpushed


def check(stack: StackName, folder: Folder = Path()) -> None:
    """Check the settings of a stack without the engine and without a cloud. Notes say what is accepted and may
    disappoint."""
    checked = refuse_unpushed(read_stack(stack, folder))
    print(f"{checked.source}: fine, {len(checked.settings.pools)} pools, {len(checked.models)} models")
    for note in checked.notes:
        print(f"note: {note}")
