"""LiteLLM without what nobody uses here, which took a sixth of its CPU time for each request (1.110).

What it logs of an answer (copies of it without its words, its price) goes to no logger, and what it notes for headers
of its own (the price again) to no client: tokens and prices are counted by our application. Its middlewares do what was
done before a request comes to it (sizes, limits of what runs, headers, CORS, gzip) or concern paths that
nobody reaches.
"""

from typing import Any

from litellm import utils  # pyright: ignore[reportMissingImports]
from litellm.litellm_core_utils.litellm_logging import Logging  # pyright: ignore[reportMissingImports]


async def _nothing(*_: Any, **__: Any) -> None:
    return


def leave_out(app: Any) -> None:
    """Take it away, before the first request.

    Args:
        app: LiteLLM's, of FastAPI.
    """
    app.user_middleware.clear()
    utils.dispatch_success_logging = lambda *_, **__: None
    utils.update_response_metadata = lambda *_, **__: None
    Logging.async_success_handler = _nothing
    Logging.dispatch_success_handlers = _nothing
