"""Errors that end the loader with one message."""


class LoadError(Exception):
    """The model cannot be loaded; the text names what is wrong, why, and what to do."""


class StoppedError(BaseException):
    """The loader was told to stop. Libraries that go on after any ``Exception`` must not swallow it."""


class InterruptedTransferError(Exception):
    """A source stopped in the middle of a file; asking again from there may work."""
