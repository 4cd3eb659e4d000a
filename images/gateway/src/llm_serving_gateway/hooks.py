"""What LiteLLM calls of ours: one object, that hands each call to the module whose job it is.

Limits, keys and checks are not here: they come before LiteLLM. Here belongs what LiteLLM alone can do in the middle of
a request: the scope of its cache, guardrails, the choice of a back end.
"""

from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # pyright: ignore[reportMissingImports]


class Callback(CustomLogger):
    """The one callback of the gateway. A method is added together with the module that it calls."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(message_logging=False, **arguments)


callback = Callback()
