"""The gateway: one OpenAI-compatible endpoint for all models of a stack, with keys, limits, budgets and a cache."""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from llm_serving.arguments import Frozen
from llm_serving.errors import LEAVE_OUT, Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import DNS_HOST, KEY_HASH, PEM_CERTIFICATE
from llm_serving.spec.gateway_address import ExistingEdgeSpec, GatewayTlsSpec, LoadBalancerSpec
from llm_serving.spec.hosted import HostedProviderSpec
from llm_serving.spec.instants import Instant
from llm_serving.spec.model import ServiceClass
from llm_serving.spec.names import (
    MAX_AMOUNT,
    DnsLabel,
    ModelName,
    NamespaceName,
    ObjectName,
    PositiveAmount,
    PositiveCount,
    SecretName,
)
from llm_serving.spec.network import Cidr
from llm_serving.spec.release import ImageReference
from llm_serving.spec.request_queue import QueueSpec
from llm_serving.spec.router import RouterSpec
from llm_serving.spec.spending import BudgetSpec, PriceSpec
from llm_serving.spec.timeouts import DAY_SECONDS

Seconds = Annotated[float, Field(gt=0, le=DAY_SECONDS)]
Cores = Annotated[float, Field(ge=0.01, le=64)]
"""CPU that a pod requests; it may use more."""


class Routing(StrEnum):
    """What spreads the requests over a release's instances."""

    ROUTER = "router"
    """A router of the release's own: by load and common beginnings, with a circuit breaker for each instance."""
    SERVICE = "service"
    """The release's Service: at random."""


class CacheScope(StrEnum):
    """Who may be given an answer from the cache."""

    KEY = "key"
    """The key that asked before."""
    TEAM = "team"
    """Every key of its team."""


class GuardrailEntity(StrEnum):
    """What a guardrail looks for in a text."""

    EMAIL = "email"
    PHONE = "phone"
    CREDIT_CARD = "credit-card"
    IBAN = "iban"
    US_SSN = "us-ssn"
    IP_ADDRESS = "ip-address"
    API_KEY = "api-key"
    PRIVATE_KEY = "private-key"


class KeySpec(Frozen):
    """Who may use the gateway, and how much. Of the key itself only its hash is known."""

    name: DnsLabel
    """Name in metrics, logs and reports; unique."""
    sha256: Annotated[str, KEY_HASH]
    """SHA-256 of the key, 64 hexadecimal digits; `stacks keys new` makes a key and its hash."""
    team: NamespaceName
    """Team that it belongs to."""
    models: tuple[ModelName, ...] = ()
    """Models that it may ask; none named: all."""
    requests_per_minute: PositiveCount | None = None
    """Requests a minute; left out: no limit."""
    tokens_per_minute: PositiveAmount | None = None
    """Tokens a minute, those of prompts and of answers together; left out: no limit."""
    parallel_requests: PositiveCount | None = None
    """Requests at once; left out: no limit."""
    budget: BudgetSpec | None = None
    """What it may spend in a period; left out: no limit."""
    expires: Instant | None = None
    """Moment from which on it is refused, RFC 3339 in UTC; left out: never."""
    service_class: ServiceClass = ServiceClass.STANDARD
    """`critical`, `standard` (the default) or `batch`: whose requests give way when capacity is short."""
    cache_scope: CacheScope | None = None
    """Who may be given its answers from the cache: `key` or `team`; left out: as the cache says."""


class GatewayTimeoutsSpec(Frozen):
    """How long the gateway waits for an engine, in seconds."""

    connect_seconds: Seconds = 2.0
    """For a connection; 2 by default."""
    first_token_seconds: Seconds = 60.0
    """For the first token of an answer; 60 by default."""
    between_tokens_seconds: Seconds = 30.0
    """Between two tokens of an answer; 30 by default."""
    total_seconds: Seconds = 600.0
    """For a whole answer; 600 by default."""
    wake_seconds: Annotated[float, Field(ge=0, le=DAY_SECONDS)] = 300.0
    """For the first instance of a model that has none (`autoscaling.min: 0`), before all others; 300 by default.

    0: such a request wakes the model and is refused at once, with the time after which to ask again.
    """


class GatewayModelSpec(Frozen):
    """What the gateway does with one model. A model that is not named is served with the defaults."""

    name: ModelName
    """Name of the model."""
    fallbacks: tuple[ModelName, ...] = ()
    """Models that are asked in its place, in this order, where it cannot answer."""
    price: PriceSpec | None = None
    """What its tokens cost; left out: nothing is known."""
    max_requests: PositiveCount | None = None
    """Requests that it can take at once, over all pods of the gateway: from parts of it on, service classes give way.
    Left out: nobody gives way."""
    routing: Routing | None = None
    """`router` or `service`; left out: as the gateway says, and `service` where an instance has several nodes."""
    timeouts: GatewayTimeoutsSpec | None = None
    """How long to wait for it; left out: as the gateway says."""


class GatewayReplicasSpec(Frozen):
    """How many pods the gateway has. Between the two, it grows with its load."""

    min: PositiveCount = 2
    """Fewest; 2 by default."""
    max: PositiveCount = 4
    """Most; 4 by default."""

    @model_validator(mode="after")
    def _ordered(self) -> "GatewayReplicasSpec":
        if self.min > self.max:
            reason = f"is more than max, {self.max}"
            suggestion = Suggestion(values=[self.max], edits=[{"max": self.min}])
            raise ProblemsError([Problem("min", self.min, reason, suggestion)])
        return self


class GatewayLimitsSpec(Frozen):
    """The largest request that is let through."""

    body_bytes: Annotated[int, Field(ge=1024, le=MAX_AMOUNT)] = 4_000_000
    """Size of a request in bytes; 4,000,000 by default."""
    max_output_tokens: PositiveAmount = 4096
    """Tokens that a request may ask for at most, and gets where it names no number; 4096 by default."""


class RetriesSpec(Frozen):
    """Requests that fail before the first byte of an answer are tried again."""

    attempts: Annotated[int, Field(ge=0, le=5)] = 2
    """More attempts; 2 by default."""


class BreakerSpec(Frozen):
    """When a back end that fails is left alone: the stable one of a model, or a hosted provider.

    The weighted one never is: a canary that fails is asked at its weight all the same.
    """

    failure_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of its requests that fail, from which on it gets none; 0.5 by default."""
    min_requests: Annotated[int, Field(ge=1, le=1000)] = 5
    """Requests of the last `windowSeconds` from which on that counts; 5 by default."""
    window_seconds: Seconds = 60.0
    """How long a request counts, in seconds; 60 by default."""
    open_seconds: Seconds = 10.0
    """Time after which one request tries it again, in seconds; 10 by default."""
    slow_seconds: Seconds | None = None
    """A stream whose first token takes longer counts as failed, in seconds; left out: none does."""


Share = Annotated[int, Field(ge=1, le=100)]
"""Percent."""


class OverloadSpec(Frozen):
    """What gives way when a model has nearly as many requests as it can take (`maxRequests`)."""

    fewer_tokens_percent: Share = 60
    """Percent of it from which on answers for `batch` are shorter; 60 by default."""
    batch_output_tokens: PositiveAmount = 256
    """Tokens that such an answer has at most; 256 by default."""
    shed_batch_percent: Share = 75
    """Percent from which on `batch` is refused (429); 75 by default."""
    shed_standard_percent: Share = 90
    """Percent from which on `standard` is refused too; 90 by default. `critical` is, with 503, at 100."""
    wait_seconds: Annotated[float, Field(ge=0, le=DAY_SECONDS)] = 2.0
    """How long a request waits for room before it is refused, by service class; 2 by default."""
    retry_after_seconds: Annotated[int, Field(ge=1, le=DAY_SECONDS)] = 10
    """When one that is refused may come again; 10 by default."""

    @model_validator(mode="after")
    def _in_steps(self) -> "OverloadSpec":
        steps = [(name, getattr(self, name)) for name in _STEPS]
        for (before, least), (name, value) in pairwise(steps):
            if value < least:
                reason = f"is less than {to_camel(before)}, {least}: the steps come one after the other"
                raise ProblemsError([Problem(to_camel(name), value, reason, Suggestion(values=[least]))])
        return self


_STEPS = ("fewer_tokens_percent", "shed_batch_percent", "shed_standard_percent")


class RedisSpec(Frozen):
    """A Redis: one that is installed, or one that is there."""

    host: Annotated[str, DNS_HOST] | None = None
    """Host of one that is there; left out: it is installed in the gateway's namespace.

    Its password is a secret of its own and never part of this.
    """
    port: Annotated[int, Field(ge=1, le=65535)] = 6379
    """TCP port of one that is there; 6379 by default."""
    tls: bool = False
    """Connect to it with TLS; false by default. cert-manager makes the certificate of one that is installed."""
    certificate_authority: Annotated[str, PEM_CERTIFICATE] | None = None
    """Certificate of the authority of one that is there, in PEM; left out: an authority that everybody knows."""
    memory_mib: Annotated[int, Field(ge=64, le=262_144)] = 256
    """Memory for data of the one that is installed, in MiB; 256 by default."""
    cpu: Cores = 0.1
    """Cores that the one that is installed requests; 0.1 by default."""

    @model_validator(mode="after")
    def _says_of_one_that_is_there(self) -> "RedisSpec":
        if self.host is None:
            given = {"port": self.port != 6379, "certificate_authority": self.certificate_authority is not None}
            for name in (name for name, is_given in given.items() if is_given):
                path = str(type(self).model_fields[name].alias or name)
                reason = "without meaning where no host is given"
                raise ProblemsError(
                    [Problem(path, getattr(self, name), reason, Suggestion("leave it out, or a host", removal=True))]
                )
        elif self.certificate_authority is not None and not self.tls:
            reason = "without meaning where tls is false"
            raise ProblemsError([Problem("tls", False, reason, Suggestion(values=[True]))])
        return self

    @property
    def is_installed(self) -> bool:
        """The stack makes it."""
        return self.host is None


class LimitsRedisSpec(RedisSpec):
    """The Redis that holds limits and budgets. It writes everything to a disk, and forgets nothing."""

    storage_gib: Annotated[int, Field(ge=1, le=65_536)] = 2
    """Size of the disk of the one that is installed, in GiB; 2 by default."""
    storage_class: ObjectName | None = None
    """Storage class of that disk; left out: the cluster's default."""


class RedisStoresSpec(Frozen):
    """Where the pods of the gateway keep what they share."""

    limits: LimitsRedisSpec | None = None
    """Counts of limits and budgets; left out: each pod counts for itself, and there are no budgets."""
    cache: RedisSpec | None = None
    """Answers; left out: no cache."""
    timeout_seconds: Annotated[float, Field(gt=0, le=0.3)] = 0.2
    """Longest wait for an answer of either, in seconds; 0.2 by default. A request goes on without it."""

    @property
    def with_made_certificates(self) -> tuple[str, ...]:
        """Those that are installed with TLS: ``limits``, ``cache``."""
        stores = (("limits", self.limits), ("cache", self.cache))
        return tuple(name for name, redis in stores if redis is not None and redis.is_installed and redis.tls)


class PostgresTls(StrEnum):
    """How much of a database's certificate is checked."""

    VERIFY_FULL = "verify-full"
    """Who signed it, and that it is of the host's name."""
    VERIFY_CA = "verify-ca"
    """Who signed it."""
    OFF = "off"
    """No TLS."""


class PostgresSpec(Frozen):
    """A Postgres that is there, for keys that change without an update and for what budgets have used."""

    host: Annotated[str, DNS_HOST]
    """Its host."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """Its TCP port; 5432 by default."""
    database: Annotated[str, Field(min_length=1, max_length=63)] = "llm_gateway"
    """Its database, of this stack alone; `llm_gateway` by default."""
    secret_name: SecretName
    """Secret in the gateway's namespace with `username` and `password`."""
    tls: PostgresTls = PostgresTls.VERIFY_FULL
    """`verify-full` (the default), `verify-ca`, where its certificate has another name and an authority of its own, or
    `off`."""
    ca_secret_name: SecretName | None = None
    """Secret in the gateway's namespace with `ca.crt`, who signs its certificate; left out: public authorities."""
    addresses: tuple[Cidr, ...] = ()
    """IPv4 ranges that it has its address in; none named: private ones, or the pods of the namespace in its host's
    name (`db.data.svc`)."""
    timeout_seconds: Annotated[float, Field(gt=0, le=0.3)] = 0.2
    """Longest wait for a key that is looked up, in seconds; 0.2 by default."""
    cache_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long a key is trusted that was looked up, in seconds; 30 by default. A change is seen at once, where the
    database can say so."""
    stale_seconds: Annotated[int, Field(ge=0, le=DAY_SECONDS)] = 300
    """How long it is trusted while the database does not answer, in seconds; 300 by default."""

    @model_validator(mode="after")
    def _checks(self) -> "PostgresSpec":
        if self.tls is PostgresTls.OFF and self.ca_secret_name is not None:
            reason = "without meaning where tls is off"
            raise ProblemsError([Problem("caSecretName", self.ca_secret_name, reason, LEAVE_OUT)])
        if self.tls is PostgresTls.VERIFY_CA and self.ca_secret_name is None:
            reason = "needs caSecretName: whoever has a certificate of a public authority would be taken for it"
            full = PostgresTls.VERIFY_FULL.value
            raise ProblemsError([Problem("tls", self.tls.value, reason, Suggestion(values=[full]))])
        if 0 < self.stale_seconds < self.cache_seconds:
            reason = f"is less than cacheSeconds, {self.cache_seconds}, for which a key is trusted anyway"
            suggestion = Suggestion(values=[self.cache_seconds])
            raise ProblemsError([Problem("staleSeconds", self.stale_seconds, reason, suggestion)])
        return self


class AnswerCacheSpec(Frozen):
    """Answers that are given again to the same request."""

    kind: Literal["exact", "semantic"] = "exact"
    """`exact` (the default): to the same request. `semantic`: also to one whose last question means the same, where all
    else is equal."""
    embedding_model: ModelName | None = None
    """Model of embeddings that tells which questions mean the same; needed for `semantic`."""
    threshold: Annotated[float, Field(ge=0.85, le=1)] = 0.95
    """Least similarity (cosine) of two questions that mean the same; 0.95 by default."""
    max_entries: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Questions that are kept of one conversation of one key or team; 1000 by default."""
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_AMOUNT)] = 300
    """How long an answer is given again, in seconds; 300 by default."""
    stale_seconds: Annotated[int, Field(ge=0, le=MAX_AMOUNT)] = 3600
    """How old an answer may be that is given where no back end answers, in seconds; 3600 by default, 0 for none."""
    scope: CacheScope = CacheScope.KEY
    """Who may be given it: the same `key` (the default), or every key of its `team`."""


class GuardrailsSpec(Frozen):
    """What is looked for in prompts and answers: personal data, secrets, attempts to change a model's instructions."""

    input: tuple[GuardrailEntity, ...] = ()
    """What is looked for in prompts: `email`, `phone`, `credit-card`, `iban`, `us-ssn`, `ip-address`, `api-key`,
    `private-key`."""
    output: tuple[GuardrailEntity, ...] = ()
    """What is looked for in answers."""
    prompt_injection: bool = False
    """Refuse prompts that look as if they would change the model's instructions, or have it say them; false by default.
    """
    action: Literal["mask", "block"] = "mask"
    """`mask` (the default) puts a placeholder in its place; `block` refuses the request."""
    stream_look_ahead: Annotated[int, Field(ge=50, le=500)] = 80
    """Characters of a stream that are held back, so that what is looked for is seen whole; 80 by default."""


class GatewaySpec(Frozen):
    """The gateway in front of all models."""

    namespace: NamespaceName = "llm-gateway"
    """Its namespace; `llm-gateway` by default."""
    image: ImageReference
    """Image of the gateway."""
    proxy_image: ImageReference
    """Image of its proxy."""
    router_image: ImageReference | None = None
    """Image of routers; needed where a model has a router."""
    redis_image: ImageReference | None = None
    """Image of Redis; needed where a Redis is installed."""
    host: Annotated[str, DNS_HOST] | None = None
    """Name by which clients reach it; left out: any name."""
    tls: GatewayTlsSpec | None = None
    """Its certificate; left out: HTTP without TLS."""
    load_balancer: LoadBalancerSpec | None = None
    """The load balancer in front of it; left out: pods of the cluster alone reach it."""
    existing_edge: ExistingEdgeSpec | None = None
    """A Gateway that clients reach already, in place of one of its own."""
    replicas: GatewayReplicasSpec = GatewayReplicasSpec()
    """How many pods."""
    cpu: Cores = 0.5
    """Cores that one of its pods requests; 0.5 by default. A request takes 20 ms of one."""
    proxy_cpu: Cores = 0.2
    """Cores that a pod of its proxy requests; 0.2 by default."""
    router: RouterSpec = RouterSpec()
    """Routers of releases: which instance gets a request, and which get none for a while."""
    routing: Routing = Routing.ROUTER
    """What spreads requests over a release's instances: `router` (the default) or `service`."""
    models: tuple[GatewayModelSpec, ...] = ()
    """What differs between models."""
    keys: tuple[KeySpec, ...] = ()
    """Who may use it."""
    limits: GatewayLimitsSpec = GatewayLimitsSpec()
    """The largest request."""
    timeouts: GatewayTimeoutsSpec = GatewayTimeoutsSpec()
    """How long to wait for an engine."""
    retries: RetriesSpec = RetriesSpec()
    """Requests that fail."""
    breaker: BreakerSpec = BreakerSpec()
    """When a back end that fails is left alone."""
    hosted: tuple[HostedProviderSpec, ...] = ()
    """Providers outside of the cluster that answer where nothing inside does, in this order; none by default."""
    overload: OverloadSpec = OverloadSpec()
    """What gives way when a model has nearly as many requests as it can take."""
    redis: RedisStoresSpec = RedisStoresSpec()
    """Where pods keep what they share."""
    postgres: PostgresSpec | None = None
    """Keys that change without an update, beside `keys`, and what budgets have used; left out: none."""
    cache: AnswerCacheSpec | None = None
    """Answers that are given again; left out: none is."""
    guardrails: GuardrailsSpec | None = None
    """Personal data and secrets that are looked for; left out: none."""
    queue: QueueSpec | None = None
    """Requests without a connection; left out: there are none."""
    fail_closed_seconds: PositiveCount = 300
    """How long keys with a budget are served while neither the Redis of limits nor `postgres` answers, in seconds; 300
    by default."""

    def model(self, name: str) -> GatewayModelSpec:
        """What the settings say of a model; the defaults where they say nothing."""
        return next((model for model in self.models if model.name == name), GatewayModelSpec(name=name))

    def timeouts_of(self, name: str) -> GatewayTimeoutsSpec:
        """How long to wait for a model."""
        return self.model(name).timeouts or self.timeouts
