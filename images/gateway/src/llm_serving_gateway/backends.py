"""Puts our transport below LiteLLM's clients."""

from typing import Any

import httpx  # pyright: ignore[reportMissingImports]
import litellm  # pyright: ignore[reportMissingImports]
from litellm.litellm_core_utils.exception_mapping_utils import ExceptionCheckers  # pyright: ignore[reportMissingImports]
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import exchange
from llm_serving_gateway.backend_transport import BackEndTransport
from llm_serving_gateway.configuration import Configuration, Files
from llm_serving_gateway.hosted import HostedAccess
from llm_serving_gateway.limits import Limiter
from llm_serving_gateway.relay import TOO_LONG
from llm_serving_gateway.upstream import Upstream


def install(configuration: Configuration, limiter: Limiter, files: Files) -> None:
    """From now on LiteLLM's clients send by our transport.

    Some providers take ``litellm.aclient_session``, its documented place for a client; the others, and some of a
    provider's ways (rerank, or chat but not completions), make their transport by ``create_async_transport``.
    """
    access = HostedAccess(configuration, limiter, files)
    inner = AsyncHTTPHandler.create_async_transport()
    transport = BackEndTransport(inner, configuration, _upstream, _too_long, access)

    def create_async_transport(*arguments: Any, **named: Any) -> BackEndTransport:
        return transport

    AsyncHTTPHandler.create_async_transport = staticmethod(create_async_transport)
    litellm.aclient_session = httpx.AsyncClient(transport=transport)


def _too_long(text: str) -> bool:
    return TOO_LONG.search(text) is not None or ExceptionCheckers.is_error_str_context_window_exceeded(text)


def _upstream() -> Upstream:
    """That of the running exchange; a new one for what LiteLLM asks back ends of its own accord."""
    running = exchange.current.get()
    return Upstream() if running is None else running.upstream
