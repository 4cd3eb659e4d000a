"""Hosted providers, which are asked last, and to which a request leaves the cluster.

To LiteLLM what a provider answers in the place of a model is a model of its own, the last of those that the model falls
back to. Its name there is one that no client can ask for.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llm_serving_gateway.configuration import Configuration, ConfigurationError, Files, HostedModel, HostedProvider
from llm_serving_gateway.limits import Lease, Limiter, LimitError, Limits, Reservation
from llm_serving_gateway.prices import price
from llm_serving_gateway.upstream import Upstream

LEFT_OUT = ("user",)
"""Fields that say who asks."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hosted:
    """A provider's model in the place of one of ours."""

    provider: HostedProvider
    model: HostedModel

    @property
    def group(self) -> str:
        """Its name in LiteLLM."""
        return f"hosted:{self.provider.name}:{self.model.model}"

    @property
    def base(self) -> str:
        """Base URL."""
        return str(self.provider.url).rstrip("/")

    def may_be_asked(self, upstream: Upstream) -> bool:
        """Whether this request may leave the cluster for it.

        Its team is allowed to, and the model that it asked for has failed: not another one to which that falls back.
        """
        return (
            upstream.team in self.provider.teams
            and upstream.requested == self.model.model
            and upstream.pinned is None
            # One that gives way to others waits: what is only busy has not failed.
            and (upstream.verdict is None or upstream.verdict.status != 429)
            and upstream.may_use(self.model.model)
        )


def all_hosted(configuration: Configuration) -> Iterator[Hosted]:
    """Every one of them, in the order in which they are asked for one model."""
    return (Hosted(provider, model) for provider in configuration.hosted for model in provider.models)


class HostedAccess:
    """What providers are asked with: budgets of theirs, and the keys by which they know us."""

    def __init__(self, configuration: Configuration, limiter: Limiter, files: Files) -> None:
        self._limiter, self._files = limiter, files
        self._limits = {
            each.name: Limits.of_budget(f"hosted:{each.name}", each.budget) for each in configuration.hosted
        }

    async def hold(self, hosted: Hosted, upstream: Upstream, id: str) -> Lease | None:
        """Hold of a provider's budget what a request may use; ``None`` where so much is not left, or not known.

        Args:
            hosted: the provider.
            upstream: the request.
            id: of this attempt alone.
        """
        prompt, output = upstream.prompt_tokens, upstream.output_tokens
        nano = price(hosted.model, prompt, output)
        wanted = Reservation(id, self._limits[hosted.provider.name], prompt + output, nano)
        try:
            return await self._limiter.acquire(wanted)
        except LimitError:
            return None

    def headers(self, hosted: Hosted) -> Mapping[str, str] | None:
        """The headers of a request to it: nothing of the client's. ``None`` where there is no key."""
        try:
            key = self._files.hosted_key(hosted.provider.name)
        except ConfigurationError as error:
            _log.error("%s", error)
            return None
        if key is None:
            _log.error("there is no key of the hosted provider %s", hosted.provider.name)
            return None
        return {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            # Answers are read as they come.
            "accept-encoding": "identity",
        }
