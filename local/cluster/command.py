"""One program of a cluster, as the supervisor runs it, and what environment it gets."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from local.cluster.layout import REPOSITORY


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        name: its name in status and logs.
        line: the command line.
        after: programs that must be ready before it starts.
        needs: files that must be there before it starts.
        environment: variables beside those that every program gets.
        probe: how to see that it is ready: an address of HTTP, the path of a Unix socket that must answer or of a
            file that must be there. Without one it is ready once it has lived for a moment.
        grace: seconds that it gets to end, before it is killed.
    """

    name: str
    line: tuple[str, ...]
    after: tuple[str, ...] = ()
    needs: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    probe: str = ""
    grace: float = 5.0


# What a detached process needs of its starter's environment, which may hold passphrases and cloud
# credentials.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONDONTWRITEBYTECODE",
    "SSL_CERT_FILE",
)


def environment() -> dict[str, str]:
    """The environment of the supervisor and of its programs."""
    kept = {k: v for k, v in os.environ.items() if k in _ENVIRONMENT or k.startswith("LLM_SERVING_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}
