"""Hosted providers: somebody else's models, outside of the cluster, that answer where none inside does."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.names import DnsLabel, ModelName, NamespaceName, PositiveAmount, SecretName
from llm_serving.spec.network import Cidr
from llm_serving.spec.spending import BudgetSpec, PriceSpec

_PORTS = {"http": 80, "https": 443}


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc and not any(map(str.isspace, value))
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or not plain:
        reason = "not the base URL of an API: scheme, host, and path without a question mark"
        raise ProblemsError([Problem("", value, reason, Suggestion("https://api.example.com/v1", needs=Needs.FACT))])
    return value


HostedUrl = Annotated[str, AfterValidator(_check_url)]


class HostedModelSpec(Frozen):
    """What a provider answers in the place of a model."""

    model: ModelName
    """Model of the stack."""
    name: Annotated[str, Field(pattern=r"^\S{1,200}$")]
    """What stands in for it, by its name at the provider."""
    context_tokens: PositiveAmount | None = None
    """Tokens of prompt and answer together that it takes; left out: as many as the model."""
    price: PriceSpec
    """What its tokens cost."""


class HostedProviderSpec(Frozen):
    """An endpoint with OpenAI's API outside of the cluster: a provider, or the gateway of another stack.

    Its key is never part of this.
    """

    name: DnsLabel
    """Name in metrics, reports and answers; unique."""
    url: HostedUrl
    """Base URL of its API, ending in `/v1` at most of them."""
    secret_name: SecretName | None = None
    """Secret in the gateway's namespace that has its key under `api-key`; left out: a secret of the stack has it."""
    addresses: tuple[Cidr, ...] = ()
    """Addresses that it has, as pods see them, where it is in a private network; left out: the internet."""
    teams: Annotated[tuple[NamespaceName, ...], Field(min_length=1)]
    """Teams whose requests may go there: those of their keys, and of no other."""
    models: Annotated[tuple[HostedModelSpec, ...], Field(min_length=1)]
    """Models that it stands in for."""
    budget: BudgetSpec
    """What all requests together may spend there in a period."""

    @model_validator(mode="after")
    def _goes_encrypted(self) -> "HostedProviderSpec":
        if self.url.startswith("http:") and not self.addresses:
            reason = "its key and prompts would go over the internet in the clear: https"
            raise ProblemsError([Problem("url", self.url, reason, Suggestion(values=["https" + self.url[4:]]))])
        return self

    @property
    def host(self) -> str:
        """Name of its host."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port that it is asked at."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]
