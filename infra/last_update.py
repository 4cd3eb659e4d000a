"""What the stack put out at its last update, read while the program runs."""

import secrets
import time
from typing import Any

import pulumi

RETRY_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to read the state."""

_RANDOM_BYTES = 32


def kept_or_made(before: str | None) -> str:
    """A secret that nobody chose: that of the last update, or a new one. Whoever asks puts it out, so that the next
    update finds it."""
    return before or secrets.token_urlsafe(_RANDOM_BYTES)


def last_outputs() -> dict[str, Any]:
    """Outputs of this stack's last update; empty before the first.

    The engine's own function, which a ``StackReference`` uses too. A reference to the stack itself would be a resource
    whose outputs change with each update, and every ``pulumi refresh`` would report it as drift.

    The engine saves the first steps of this update at the same time, and a backend in a local folder (``file://``) is
    not written atomically: half a checkpoint is read again.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for pause in (*RETRY_PAUSES, None):
        try:
            result = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
        except Exception as error:
            if pause is None or "checkpoint" not in str(error):
                raise
            time.sleep(pause)
        else:
            return (result.value or {}).get("outputs") or {}
    raise AssertionError("the last attempt returns or raises")
