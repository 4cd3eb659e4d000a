"""What LiteLLM calls of ours: one object, which has nothing to say but that no prompt or answer is logged.

Keys, limits, checks, guardrails and kept answers are around LiteLLM, the choice of a back end is below it.
"""

from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # pyright: ignore[reportMissingImports]


class Callback(CustomLogger):
    """The one callback of the gateway."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(message_logging=False, **arguments)


callback = Callback()
