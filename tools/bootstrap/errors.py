"""The one exception that ends a set-up with a message instead of a traceback."""


class SetupError(Exception):
    """A set-up that cannot go on. The message says what is missing and what to do next."""
