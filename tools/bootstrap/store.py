"""The cache of finished tools: a folder exists only if the tool in it is complete.

A tool is put together in a temporary folder beside its place and moved there in one rename, under a lock
for each tool. A set-up that is killed leaves a temporary folder, which the next one removes.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from stacks.files import file_locked

_TEMPORARY = ".unfinished-"
_NOTE = "tool.json"


@dataclass(frozen=True)
class Note:
    """What is known of a finished tool: its version and where it came from."""

    version: str
    origin: str


def note(place: Path) -> Note | None:
    """Return the note of the finished tool at `place`, or None if there is none."""
    try:
        return Note(**json.loads((place / _NOTE).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def obtain(place: Path, make: Callable[[Path], Note], on_wait: Callable[[], None]) -> Note:
    """Return the note of the tool at `place`; if it is not there, let `make` fill a folder that becomes it.

    Processes that want the same tool at once wait for each other, and one of them makes it.
    """
    finished = note(place)
    if finished:
        return finished
    with file_locked(place.parent / ".lock", on_wait):
        finished = note(place)
        if finished:
            return finished
        for leftover in place.parent.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=place.parent))
        try:
            made = make(unfinished)
            (unfinished / _NOTE).write_text(json.dumps(asdict(made)) + "\n")
            unfinished.chmod(0o755)
            os.replace(unfinished, place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return made
