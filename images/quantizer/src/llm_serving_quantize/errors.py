"""Errors that end the program with one message, and the exit codes that they end it with: those of the loader, so that
a Job tells by one list whether another pod could do better."""

from enum import IntEnum


class Exit(IntEnum):
    """What the command ends with; values of ``sysexits.h``."""

    DONE = 0
    """The result is complete."""
    USAGE = 2
    """The command line is wrong; a retry cannot help."""
    PERMANENT = 78
    """EX_CONFIG: a model or data that cannot be quantized like this; a retry cannot help."""


class QuantizeError(Exception):
    """The model cannot be quantized, and a retry cannot help; the text names what is wrong, why, and what to do."""
