"""What a gateway serves: the file ``gateway.json``, which names models, and never releases, weights or keys.

It is written by the project (the component ``Gateway``) and read at start; keys are in a file of their own
(:mod:`llm_serving_gateway.keys`), which may change at any time.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=63)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ConfigurationError(Exception):
    """The configuration cannot be used; the text names the file, the field and the reason."""


class Settings(BaseModel):
    """Part of a file: camelCase keys, nothing unknown, never changed."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, validate_by_name=True)


class Task(StrEnum):
    """What a model is asked for. ``generate``, as the project's settings call it, is ``chat`` here."""

    CHAT = "chat"
    EMBED = "embed"
    CLASSIFY = "classify"


class ServiceClass(StrEnum):
    """What gives way when capacity is short: ``batch`` first, ``critical`` last."""

    CRITICAL = "critical"
    STANDARD = "standard"
    BATCH = "batch"


class Timeouts(Settings):
    """Seconds that one attempt may take; before the first, ``wake_seconds`` for a model without instances."""

    connect_seconds: Seconds = 2
    first_token_seconds: Seconds = 60
    between_tokens_seconds: Seconds = 30
    total_seconds: Seconds = 600
    wake_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0


class Model(Settings):
    """A model by the name that clients use, with its two back ends.

    Attributes:
        context_tokens: most tokens of prompt and answer together.
        max_requests: requests that it can take at once, over all gateways; ``None`` where nobody gives way.
        cold_start_seconds: how long its first instance takes; ``None`` where it always has one.
        weighted_url: base URL (with ``/v1``) of all its releases, by their weights.
        stable_url: base URL of the stable release alone.
        fallbacks: models to ask when both fail, in order.
        usd_per_million_input_tokens: price, for budgets in US dollars; 0 where it is not counted.
    """

    name: Name
    task: Task = Task.CHAT
    service_class: ServiceClass = ServiceClass.STANDARD
    context_tokens: Annotated[int, Field(gt=0)]
    max_requests: Annotated[int, Field(gt=0)] | None = None
    cold_start_seconds: Annotated[float, Field(gt=0)] | None = None
    weighted_url: AnyHttpUrl
    stable_url: AnyHttpUrl
    fallbacks: tuple[Name, ...] = ()
    usd_per_million_input_tokens: Annotated[float, Field(ge=0)] = 0
    usd_per_million_output_tokens: Annotated[float, Field(ge=0)] = 0
    timeouts: Timeouts = Timeouts()

    @field_validator("task", mode="before")
    @classmethod
    def _as_clients_ask(cls, value: object) -> object:
        return Task.CHAT if value == "generate" else value

    @property
    def may_sleep(self) -> bool:
        """Whether it may have no instance because nobody asks it."""
        return self.cold_start_seconds is not None


class RequestLimits(Settings):
    """What no request may exceed, whatever its key: bytes of the body, tokens of the answer."""

    body_bytes: Annotated[int, Field(gt=0)] = 4_000_000
    max_output_tokens: Annotated[int, Field(gt=0)] = 4096


Percent = Annotated[int, Field(ge=1, le=100)]


class Overload(Settings):
    """From which part of a model's ``max_requests`` on which class gives way, in this order.

    Attributes:
        fewer_tokens_percent: ``batch`` gets answers of at most ``batch_output_tokens``.
        shed_batch_percent: ``batch`` is refused.
        shed_standard_percent: ``standard`` is refused.
        wait_seconds: how long a request waits for room before.
        retry_after_seconds: when it may come again.
    """

    fewer_tokens_percent: Percent = 60
    batch_output_tokens: Annotated[int, Field(gt=0)] = 256
    shed_batch_percent: Percent = 75
    shed_standard_percent: Percent = 90
    wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = 2
    retry_after_seconds: Annotated[int, Field(gt=0, le=86_400)] = 10


class Retries(Settings):
    """How often a request is tried again on the stable back end, before its first byte."""

    attempts: Annotated[int, Field(ge=0, le=10)] = 2


class Breaker(Settings):
    """When a back end is left alone, and for how long.

    Attributes:
        failure_share: of the requests of the last ``window_seconds``, where there are ``min_requests`` of them.
        open_seconds: until one request tries it again.
        slow_seconds: a stream whose first token comes later counts as failed; ``None`` for none.
    """

    failure_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_requests: Annotated[int, Field(gt=0)] = 5
    window_seconds: Seconds = 60
    open_seconds: Seconds = 10
    slow_seconds: Seconds | None = None


class Budget(Settings):
    """What a key, or a provider, may use up in a period of ``days``.

    Periods are counted from 1 January 1970 on, so that all gateways agree.

    Attributes:
        usd: US dollars, by the prices of the models.
        tokens: of prompts and answers.
    """

    usd: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    tokens: Annotated[int, Field(gt=0, le=10**15)] | None = None
    days: Annotated[int, Field(gt=0, le=3660)] = 30

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.usd is None and self.tokens is None:
            raise ValueError("a budget has `usd`, `tokens` or both")
        return self


class HostedModel(Settings):
    """What a provider answers in the place of a model.

    Attributes:
        model: the model, by its name here.
        name: its name at the provider.
        context_tokens: most tokens of prompt and answer together.
    """

    model: Name
    name: Annotated[str, Field(min_length=1, max_length=200)]
    context_tokens: Annotated[int, Field(gt=0)]
    usd_per_million_input_tokens: Annotated[float, Field(ge=0)]
    usd_per_million_output_tokens: Annotated[float, Field(ge=0)]


class HostedProvider(Settings):
    """Somebody else's endpoint with OpenAI's interface, asked last; its key is in a file, see :class:`Files`.

    Attributes:
        url: base URL, with ``/v1``.
        teams: whose requests may go there: nobody else's do.
        budget: what all of them together may use up there.
    """

    name: Name
    url: AnyHttpUrl
    teams: Annotated[tuple[str, ...], Field(min_length=1)]
    budget: Budget
    models: Annotated[tuple[HostedModel, ...], Field(min_length=1)]


class RedisEndpoint(Settings):
    """One Redis; its password is in a file, see :class:`Files`.

    Attributes:
        authority: certificate of the authority of its own, in PEM; ``None`` for those that everybody knows.
        authority_file: the same in a file.
    """

    host: str
    port: Annotated[int, Field(gt=0, lt=65_536)] = 6379
    tls: bool = False
    authority: str | None = None
    authority_file: str | None = None


class RedisEndpoints(Settings):
    """Redis for limits and budgets, and Redis for the cache; seconds that an operation may take."""

    limits: RedisEndpoint | None = None
    cache: RedisEndpoint | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=10)] = 0.2


class PostgresEndpoint(Settings):
    """The table of keys and budgets; its user and password are in files, see :class:`Files`.

    Attributes:
        tls: ``verify-full``: its certificate is checked with its name; ``verify-ca``: without; ``off``: no TLS.
        timeout_seconds: what a look-up may take.
        cache_seconds: how long a key is trusted that was looked up.
        stale_seconds: how long it is trusted while the table does not answer.
    """

    host: str
    port: Annotated[int, Field(gt=0, lt=65_536)] = 5432
    database: str
    tls: Literal["verify-full", "verify-ca", "off"] = "verify-full"
    timeout_seconds: Annotated[float, Field(gt=0, le=10)] = 0.2
    cache_seconds: Annotated[float, Field(gt=0)] = 30
    stale_seconds: Annotated[float, Field(ge=0)] = 300


class Similar(Settings):
    """Answers given to questions that mean the same.

    Attributes:
        embedding_model: the model whose embeddings tell.
        threshold: the least cosine of two questions that mean the same.
        max_entries: questions that are kept of one conversation of one holder.
    """

    embedding_model: Name
    threshold: Annotated[float, Field(ge=0.85, le=1)] = 0.95
    max_entries: Annotated[int, Field(ge=1, le=100_000)] = 1000


class Cache(Settings):
    """Answers kept for equal requests.

    Attributes:
        scope: who shares them unless a key says otherwise.
        stale_seconds: how old an answer may be that is given when no back end answers; 0 for none.
        similar: given also to questions that mean the same; ``None``: to equal requests alone.
    """

    ttl_seconds: Annotated[int, Field(gt=0)] = 300
    stale_seconds: Annotated[int, Field(ge=0)] = 3600
    scope: Literal["key", "team"] = "key"
    similar: Similar | None = None


Sensitive = Literal["email", "phone", "credit-card", "iban", "us-ssn", "ip-address", "api-key", "private-key"]
"""Kinds of personal data and secrets."""


class Guardrails(Settings):
    """What is looked for in requests and answers, and what is done.

    Attributes:
        prompt_injection: refuse requests that look as if they would change the model's orders.
        stream_look_ahead: characters of a stream that are held back, so that what is looked for can be seen whole.
    """

    input: tuple[Sensitive, ...] = ()
    output: tuple[Sensitive, ...] = ()
    action: Literal["mask", "block"] = "mask"
    prompt_injection: bool = False
    stream_look_ahead: Annotated[int, Field(ge=50, le=500)] = 80


class Webhooks(Settings):
    """Where webhooks may go: host names, ``*.`` before one for all below it, ``:port`` after it for another than 443;
    and how often one is tried."""

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    attempts: Annotated[int, Field(gt=0)] = 8


class Queue(Settings):
    """Requests without a connection.

    Attributes:
        scope: who sees a request and its result: the key that asked, or its team.
        service_class: of requests of the queue; a key of a lower one keeps its own.
        concurrency: requests that one worker sends at once.
        max_requests: those that wait and run, of all keys together.
        memory_bytes: what requests, files and results may take in Redis.
        file_bytes: of a file of requests at most; ``file_lines`` likewise.
        result_bytes: of an answer that is kept at most.
        wait_seconds: after which a request that was not answered expires.
        keep_seconds: how long results and files are kept.
        deliveries: how often a request is tried; then it is a dead letter.
        lease_seconds: after which a task is given to another worker that its own renews no more.
        backoff_seconds: before the second delivery of a request that no back end answered; four times as long before
            each further one.
    """

    scope: Literal["key", "team"] = "key"
    service_class: ServiceClass = ServiceClass.BATCH
    concurrency: Annotated[int, Field(gt=0)] = 8
    max_requests: Annotated[int, Field(gt=0)] = 10_000
    memory_bytes: Annotated[int, Field(gt=0)] = 128 * 2**20
    file_bytes: Annotated[int, Field(gt=0)] = 16_000_000
    file_lines: Annotated[int, Field(gt=0)] = 5000
    result_bytes: Annotated[int, Field(gt=0)] = 1_000_000
    wait_seconds: Annotated[int, Field(gt=0)] = 86_400
    keep_seconds: Annotated[int, Field(gt=0)] = 86_400
    deliveries: Annotated[int, Field(gt=0)] = 5
    lease_seconds: Annotated[float, Field(gt=0)] = 30
    backoff_seconds: Annotated[float, Field(gt=0)] = 10
    webhooks: Webhooks | None = None


class Configuration(Settings):
    """The whole file.

    Attributes:
        replicas: most gateways that run: without Redis each grants its share of a limit.
        fail_closed_seconds: how long without Redis budgets are trusted to what this gateway knows of them.
    """

    version: Literal[1]
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    limits: RequestLimits = RequestLimits()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    hosted: tuple[HostedProvider, ...] = ()
    overload: Overload = Overload()
    redis: RedisEndpoints | None = None
    postgres: PostgresEndpoint | None = None
    cache: Cache | None = None
    guardrails: Guardrails | None = None
    queue: Queue | None = None
    replicas: Annotated[int, Field(gt=0)] = 2
    fail_closed_seconds: Annotated[float, Field(ge=0)] = 300

    def fallbacks_of(self, name: str) -> Sequence[str]:
        """Every model that may answer in the place of one: those that it falls back to, and those that they do."""
        fallbacks = {model.name: model.fallbacks for model in self.models}
        reached = [*fallbacks[name]]
        for each in reached:
            reached += [more for more in fallbacks[each] if more != name and more not in reached]
        return reached

    @model_validator(mode="after")
    def _queue_has_a_place(self) -> Self:
        if self.queue is not None and (self.redis is None or self.redis.limits is None):
            raise ValueError("queue: it is kept in redis.limits, which is not there")
        return self

    @model_validator(mode="after")
    def _models_refer_to_each_other(self) -> Self:
        tasks = {model.name: model.task for model in self.models}
        similar = self.cache.similar if self.cache else None
        if similar is not None and tasks.get(similar.embedding_model) is not Task.EMBED:
            raise ValueError(f"cache.similar: {similar.embedding_model} is no model of embeddings that is there")
        names = [model.name for model in self.models]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"models: {', '.join(repeated)} is there twice")
        for model in self.models:
            for fallback in model.fallbacks:
                if fallback not in names:
                    raise ValueError(f"models: {model.name} falls back to {fallback}, which is not there")
                if fallback == model.name:
                    raise ValueError(f"models: {model.name} falls back to itself")
        for provider in self.hosted:
            stood_in_for = [each.model for each in provider.models]
            if unknown := sorted({*stood_in_for} - {*names}):
                raise ValueError(f"hosted: {provider.name} stands in for {unknown[0]}, which is not there")
            if len({*stood_in_for}) < len(stood_in_for):
                raise ValueError(f"hosted: {provider.name} stands in for a model twice")
        providers = [provider.name for provider in self.hosted]
        if len({*providers}) < len(providers):
            raise ValueError("hosted: a provider is there twice")
        if self.hosted and (self.redis is None or self.redis.limits is None):
            raise ValueError("hosted: its budget is counted in the Redis of limits, and there is none")
        return self


@dataclass(frozen=True)
class Files:
    """Where the files of a gateway are; all but ``work`` are read only.

    Attributes:
        gateway: the configuration.
        keys: the keys.
        redis: folder with the passwords of the two Redis, ``limits`` and ``cache``; none where a file is missing.
        webhooks: the secret with which webhooks are signed.
        hosted: folder with the keys of hosted providers, by their names.
        postgres: folder with ``username`` and ``password`` for the table of keys, and the authorities that sign its
            certificate, ``ca.crt``; those of the system where that is missing, and its name is checked.
        work: folder to write to.
    """

    gateway: Path = Path("/etc/llm-serving/gateway/gateway.json")
    keys: Path = Path("/etc/llm-serving/keys/keys.json")
    redis: Path = Path("/etc/llm-serving/redis")
    webhooks: Path = Path("/etc/llm-serving/webhooks/secret")
    hosted: Path = Path("/etc/llm-serving/hosted")
    postgres: Path = Path("/etc/llm-serving/postgres")
    work: Path = Path("/tmp")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The files, of which ``LLM_SERVING_GATEWAY_FILES`` and ``_WORK`` may name other folders than a pod's."""
        base = Path(environment.get("LLM_SERVING_GATEWAY_FILES", "/etc/llm-serving"))
        work = Path(environment.get("LLM_SERVING_GATEWAY_WORK", "/tmp"))
        configuration, keys = base / "gateway" / "gateway.json", base / "keys" / "keys.json"
        secret = base / "webhooks" / "secret"
        return cls(configuration, keys, base / "redis", secret, base / "hosted", base / "postgres", work)

    def password(self, redis: Literal["limits", "cache"]) -> str | None:
        """The password of one Redis, or ``None``.

        Raises:
            ConfigurationError: it is there and cannot be read.
        """
        return _secret(self.redis / redis)

    def webhook_secret(self) -> str | None:
        """What webhooks are signed with, or ``None``.

        Raises:
            ConfigurationError: it is there and cannot be read.
        """
        return _secret(self.webhooks)

    def hosted_key(self, provider: str) -> str | None:
        """The key by which a hosted provider knows us, as it is now, or ``None``.

        Raises:
            ConfigurationError: it is there and cannot be read.
        """
        return _secret(self.hosted / provider)


def _secret(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def read_configuration(path: Path) -> Configuration:
    """The configuration of a file.

    Raises:
        ConfigurationError: it is missing, or something in it is refused.
    """
    try:
        return Configuration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Where the first problem is, and what: never the value, which may be a secret."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
