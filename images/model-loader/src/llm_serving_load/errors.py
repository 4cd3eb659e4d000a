"""Errors that end the loader with one message, and the exit codes that they end it with.

The codes are an interface: a Job's podFailurePolicy tells by them whether another pod could do better. Their values are
those of ``sysexits.h``.
"""

from enum import IntEnum


class Exit(IntEnum):
    """What the command ends with."""

    DONE = 0
    """The copy is complete."""
    USAGE = 2
    """The command line is wrong; a retry cannot help."""
    TEMPORARY = 75
    """EX_TEMPFAIL: a network, a server that is busy, a copy that is not complete yet; a retry may help."""
    PERMANENT = 78
    """EX_CONFIG: a wrong name, a refusal, a damaged source; a retry cannot help."""


class LoadError(Exception):
    """The model cannot be loaded, and a retry cannot help; the text names what is wrong, why, and what to do."""

    code = Exit.PERMANENT


class MissingError(LoadError):
    """A file, an object or a bucket is not there."""


class TemporaryError(LoadError):
    """The model cannot be loaded now; a retry may help."""

    code = Exit.TEMPORARY


class InterruptedTransferError(TemporaryError):
    """A source or a store stopped in the middle; asking again from there may work.

    ``retry_after``: seconds after which the server asks to be asked again, where it names some.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(LoadError):
    """Credentials or rights are missing. Where they were granted a moment ago, asking again may work."""


class LostPartError(Exception):
    """Another loader took away what was being written, or wrote the same thing first."""


def brief(text: object) -> str:
    """The first line of what a library says, for a message of one line."""
    return (str(text).strip().splitlines() or [""])[0]


class StoppedError(BaseException):
    """The loader was told to stop. Libraries that go on after any ``Exception`` must not swallow it."""
