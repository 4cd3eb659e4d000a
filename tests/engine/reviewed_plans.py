"""Plans of whole stacks as text, of which a change is read in review. ``UPDATE_GOLDEN=1`` writes them anew."""

import os
from pathlib import Path

from tests.engine.local_stack import Step

FOLDER = Path(__file__).parent / "golden"


def assert_reviewed(stack: str, steps: list[Step]) -> None:
    """The steps of a stack's first preview are those of its file."""
    plan = "\n".join(sorted(f"{step.type}  {step.name}" for step in steps)) + "\n"
    file = FOLDER / f"{stack}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(plan)
    assert plan == file.read_text(), f"the plan of {stack} differs from {file.name}; see UPDATE_GOLDEN"
