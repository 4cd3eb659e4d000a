"""Git, as a command, in the repository that a folder belongs to."""

import os
import subprocess
from pathlib import Path


class GitError(Exception):
    """Git failed or is not there; the text is its own."""


def run_git(folder: Path, *arguments: str, stdin: str = "") -> bytes:
    """What git prints. Hooks name a repository and an index in the environment; ours is where the folder is.

    Raises:
        GitError: it ended with another status than 0, or cannot be run.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=stdin.encode(), env=environment, capture_output=True, check=False)
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitError(lines[0].removeprefix("fatal: ") if lines else f"git {arguments[0]} failed")
    return done.stdout
