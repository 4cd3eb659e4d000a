"""One request on its way through the gateway: what hooks may know of it, and what they may leave behind."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from llm_serving_gateway.answer_keys import Directives
from llm_serving_gateway.configuration import Model
from llm_serving_gateway.keys import Key
from llm_serving_gateway.upstream import Upstream

RELEASE_HEADER = "x-llm-release"
"""Of an answer: the release that it is of. Of a request to a back end: the release that is to answer."""
PROVIDER_HEADER = "x-llm-provider"
"""Of an answer: the hosted provider that it is of, outside of the stack."""


@dataclass
class Exchange:
    """A request that was authenticated and checked.

    Attributes:
        id: of this request alone.
        key: whose it is.
        model: the one that was asked for.
        release: the release of it that alone may answer; ``None`` for any.
        path: ``/v1/chat/completions`` and the like.
        headers: the client's, by their names in lower case, without its key.
        body: what LiteLLM gets.
        directives: what the client says about kept answers.
        response_headers: hooks add those that the client is to see.
        upstream: its way to the back ends.
        max_tokens_left_open: the client set none.
        is_free: a hook says that the answer used no back end: its tokens count for no limit and no budget.
    """

    id: str
    key: Key
    model: Model
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    release: str | None = None
    directives: Directives = field(default_factory=Directives)
    response_headers: dict[str, str] = field(default_factory=dict)
    max_tokens_left_open: bool = False
    is_free: bool = False
    upstream: Upstream = field(init=False)

    def __post_init__(self) -> None:
        self.upstream = Upstream(self.key.may_use, requested=self.model.name, team=self.key.team, pinned=self.release)

    @property
    def is_stream(self) -> bool:
        """Whether the client asked for server-sent events."""
        return bool(self.body.get("stream"))


current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The exchange in whose task a hook runs; ``None`` in tasks of LiteLLM's own (logging, health)."""
