"""LiteLLM's ``custom_auth``: the key was checked before; here LiteLLM learns whose request it is.

No limit is handed on: limits, budgets and allowed models are ours (:mod:`llm_serving_gateway.application`), and
LiteLLM, which has other ideas of them, gets only requests that passed.
"""

from fastapi import Request  # pyright: ignore[reportMissingImports]
from litellm.proxy._types import ProxyException, UserAPIKeyAuth  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.exchange import current


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Whose request this is.

    Raises:
        ProxyException: 401; it did not come through our application.
    """
    exchange = current.get()
    if exchange is None:
        raise ProxyException(message="no key", type="authentication_error", param=None, code=401)
    key = exchange.key
    return UserAPIKeyAuth(api_key=key.sha256, key_alias=key.name, team_id=key.team, team_alias=key.team)
