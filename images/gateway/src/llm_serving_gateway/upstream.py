"""What is known of a request on its way to the back ends: written by the transport, read by whoever answers it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.configuration import Model
from llm_serving_gateway.limits import Lease
from llm_serving_gateway.prices import Priced
from llm_serving_gateway.refusals import RefusalError


@dataclass
class Upstream:
    """One request's way, over all models and back ends that are asked for it.

    Attributes:
        may_use: whether a model, by its name, is one that may be asked.
        requested: the model that the client asked for.
        team: whose request it is.
        pinned: the release that alone may answer; ``None`` for any.
        prompt_tokens: of it, as estimated.
        output_tokens: that its answers may have at most.
        model: the model that answered; it may be one that the requested model falls back to.
        release: the release that answered, where the answer named it.
        provider: the hosted provider that answered.
        priced: whose price the answer has; ``None`` while nobody answered.
        lease: what is held of the budget of a provider that answers, or may have been paid for an answer.
        deadline: when the request must have ended, on the event loop's clock.
        refusal: a back end's answer that is about the request, and ``too_long_for``, where it was about the length of
            the prompt, the context in tokens that was too short: only a model with more may still answer.
        is_unknown_release: there is no release such as ``pinned``.
        withheld: fields of the request that back ends get beside LiteLLM's, which would misread them.
        broken: whether the answer broke off after its first byte.
        is_worked_on: whether a back end has the request, or has answered it.
        admit: room for it with a model until a moment; the refusal that its client gets where there is none.
        leave: gives that room back: a model, by its name, does not answer.
        fewer_tokens: most tokens of an answer by model, where it gives way so.
        verdict: what the client is told where nobody answers, if that is known better than by LiteLLM: of the requested
            model, and not of those that it falls back to.
    """

    may_use: Callable[[str], bool] = lambda model: True
    requested: str | None = None
    team: str | None = None
    pinned: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    release: str | None = None
    provider: str | None = None
    priced: Priced | None = None
    lease: Lease | None = None
    deadline: float | None = None
    refusal: httpx.Response | None = None
    too_long_for: int | None = None
    is_unknown_release: bool = False
    withheld: Mapping[str, Any] = field(default_factory=dict)
    broken: bool = False
    is_worked_on: bool = False
    admit: Callable[[Model, float], Awaitable[RefusalError | None]] | None = None
    leave: Callable[[str], Awaitable[None]] | None = None
    fewer_tokens: Mapping[str, int] = field(default_factory=dict)
    verdict: RefusalError | None = None

    def time_out_after(self, seconds: float) -> float:
        """The deadline: the requested model sets it, and those that it falls back to get what is left."""
        if self.deadline is None:
            self.deadline = asyncio.get_running_loop().time() + seconds
        return self.deadline

    def wait(self, seconds: float) -> None:
        """Time that does not count: the model had no instance that could have used it."""
        if self.deadline is not None:
            self.deadline += seconds

    def judge(self, model: Model, verdict: RefusalError) -> None:
        """Say why a model does not answer."""
        if model.name == self.requested and self.verdict is None:
            self.verdict = verdict

    def refused(self, context_tokens: int) -> httpx.Response | None:
        """The answer that a model with so much context would only repeat."""
        if self.refusal is None or (self.too_long_for is not None and context_tokens > self.too_long_for):
            return None
        return copy(self.refusal)

    async def settle(self, tokens: int, nano: int) -> None:
        """Say what the answer used of the budget of the provider that gave it, if one did; once."""
        lease, self.lease = self.lease, None
        if lease is not None:
            await lease.settle(tokens, nano)


def copy(response: httpx.Response) -> httpx.Response:
    """The same answer again; its body has been read."""
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))
