"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import Any, NotRequired, TypedDict


class GatewayImageArgs(TypedDict):
    """Container image."""

    repository: str
    """Repository, with its registry."""
    tag: str
    """Tag to pull where no digest is given."""
    digest: NotRequired[str]
    """`sha256:` and 64 hexadecimal digits; decides where it is given."""
    launcher: NotRequired[bool]
    """The image carries our launcher inside, as the program `llm-serving-engine`."""
    user_id: NotRequired[int]
    """User that the engine runs as, one that the image knows by name."""


class BudgetArgs(TypedDict):
    """What a key, or all requests to a hosted provider, may spend in a period."""

    usd: NotRequired[float]
    """US dollars, by the models' prices; left out: no limit."""
    tokens: NotRequired[int]
    """Tokens, those of prompts and of answers together; left out: no limit."""
    days: NotRequired[int]
    """Length of the period in days; 30 by default."""


class KeyArgs(TypedDict):
    """Who may use the gateway, and how much. Of the key itself only its hash is known."""

    name: str
    """Name in metrics, logs and reports; unique."""
    sha256: str
    """SHA-256 of the key, 64 hexadecimal digits; `stacks keys new` makes a key and its hash."""
    team: str
    """Team that it belongs to."""
    models: NotRequired[list[str]]
    """Models that it may ask; none named: all."""
    requests_per_minute: NotRequired[int]
    """Requests a minute; left out: no limit."""
    tokens_per_minute: NotRequired[int]
    """Tokens a minute, those of prompts and of answers together; left out: no limit."""
    parallel_requests: NotRequired[int]
    """Requests at once; left out: no limit."""
    budget: NotRequired[BudgetArgs]
    """What it may spend in a period; left out: no limit."""
    expires: NotRequired[str]
    """Moment from which on it is refused, RFC 3339 in UTC; left out: never."""
    service_class: NotRequired[str]
    """`critical`, `standard` (the default) or `batch`: whose requests give way when capacity is short."""
    cache_scope: NotRequired[str]
    """Who may be given its answers from the cache: `key` or `team`; left out: as the cache says."""


class PriceArgs(TypedDict):
    """What a model's tokens cost, for budgets and reports."""

    usd_per_million_input_tokens: float
    """US dollars for a million tokens of prompts."""
    usd_per_million_output_tokens: float
    """US dollars for a million tokens of answers."""


class GatewayTimeoutsArgs(TypedDict):
    """How long the gateway waits for an engine, in seconds."""

    connect_seconds: NotRequired[float]
    """For a connection; 2 by default."""
    first_token_seconds: NotRequired[float]
    """For the first token of an answer; 60 by default."""
    between_tokens_seconds: NotRequired[float]
    """Between two tokens of an answer; 30 by default."""
    total_seconds: NotRequired[float]
    """For a whole answer; 600 by default."""
    wake_seconds: NotRequired[float]
    """For the first instance of a model that has none (`autoscaling.min: 0`), before all others; 300 by default."""


class GatewayModelArgs(TypedDict):
    """What the gateway does with one model. A model that is not named is served with the defaults."""

    name: str
    """Name of the model."""
    fallbacks: NotRequired[list[str]]
    """Models that are asked in its place, in this order, where it cannot answer."""
    price: NotRequired[PriceArgs]
    """What its tokens cost; left out: nothing is known."""
    max_requests: NotRequired[int]
    """Requests that it can take at once, over all pods of the gateway: from parts of it on, service classes give way.
    Left out: nobody gives way."""
    routing: NotRequired[str]
    """`router` or `service`; left out: as the gateway says, and `service` where an instance has several nodes."""
    timeouts: NotRequired[GatewayTimeoutsArgs]
    """How long to wait for it; left out: as the gateway says."""


class GatewayReplicasArgs(TypedDict):
    """How many pods the gateway has. Between the two, it grows with its load."""

    min: NotRequired[int]
    """Fewest; 2 by default."""
    max: NotRequired[int]
    """Most; 4 by default."""


class GatewayLimitsArgs(TypedDict):
    """The largest request that is let through."""

    body_bytes: NotRequired[int]
    """Size of a request in bytes; 4,000,000 by default."""
    max_output_tokens: NotRequired[int]
    """Tokens that a request may ask for at most, and gets where it names no number; 4096 by default."""


class OverloadArgs(TypedDict):
    """What gives way when a model has nearly as many requests as it can take (`maxRequests`)."""

    fewer_tokens_percent: NotRequired[int]
    """Percent of it from which on answers for `batch` are shorter; 60 by default."""
    batch_output_tokens: NotRequired[int]
    """Tokens that such an answer has at most; 256 by default."""
    shed_batch_percent: NotRequired[int]
    """Percent from which on `batch` is refused (429); 75 by default."""
    shed_standard_percent: NotRequired[int]
    """Percent from which on `standard` is refused too; 90 by default. `critical` is, with 503, at 100."""
    wait_seconds: NotRequired[float]
    """How long a request waits for room before it is refused, by service class; 2 by default."""
    retry_after_seconds: NotRequired[int]
    """When one that is refused may come again; 10 by default."""


class RetriesArgs(TypedDict):
    """Requests that fail before the first byte of an answer are tried again."""

    attempts: NotRequired[int]
    """More attempts; 2 by default."""


class BreakerArgs(TypedDict):
    """When a back end that fails is left alone: the stable one of a model, or a hosted provider."""

    failure_share: NotRequired[float]
    """Share of its requests that fail, from which on it gets none; 0.5 by default."""
    min_requests: NotRequired[int]
    """Requests of the last `windowSeconds` from which on that counts; 5 by default."""
    window_seconds: NotRequired[float]
    """How long a request counts, in seconds; 60 by default."""
    open_seconds: NotRequired[float]
    """Time after which one request tries it again, in seconds; 10 by default."""
    slow_seconds: NotRequired[float]
    """A stream whose first token takes longer counts as failed, in seconds; left out: none does."""


class HostedModelArgs(TypedDict):
    """What a provider answers in the place of a model."""

    model: str
    """Model of the stack."""
    name: str
    """What stands in for it, by its name at the provider."""
    context_tokens: NotRequired[int]
    """Tokens of prompt and answer together that it takes; left out: as many as the model."""
    price: PriceArgs
    """What its tokens cost."""


class HostedProviderArgs(TypedDict):
    """An endpoint with OpenAI's API outside of the cluster: a provider, or the gateway of another stack."""

    name: str
    """Name in metrics, reports and answers; unique."""
    url: str
    """Base URL of its API, ending in `/v1` at most of them."""
    secret_name: NotRequired[str]
    """Secret in the gateway's namespace that has its key under `api-key`; left out: a secret of the stack has it."""
    addresses: NotRequired[list[str]]
    """Addresses that it has, as pods see them, where it is in a private network; left out: the internet."""
    teams: list[str]
    """Teams whose requests may go there: those of their keys, and of no other."""
    models: list[HostedModelArgs]
    """Models that it stands in for."""
    budget: BudgetArgs
    """What all requests together may spend there in a period."""


class RedisSettingsArgs(TypedDict):
    """A Redis: one that is installed, or one that is there."""

    host: NotRequired[str]
    """Host of one that is there; left out: it is installed in the gateway's namespace."""
    port: NotRequired[int]
    """TCP port of one that is there; 6379 by default."""
    tls: NotRequired[bool]
    """Connect to it with TLS; false by default. cert-manager makes the certificate of one that is installed."""
    certificate_authority: NotRequired[str]
    """Certificate of the authority of one that is there, in PEM; left out: an authority that everybody knows."""
    memory_mib: NotRequired[int]
    """Memory for data of the one that is installed, in MiB; 256 by default."""
    cpu: NotRequired[float]
    """Cores that the one that is installed requests; 0.1 by default."""


class LimitsRedisArgs(TypedDict):
    """The Redis that holds limits and budgets. It writes everything to a disk, and forgets nothing."""

    host: NotRequired[str]
    """Host of one that is there; left out: it is installed in the gateway's namespace."""
    port: NotRequired[int]
    """TCP port of one that is there; 6379 by default."""
    tls: NotRequired[bool]
    """Connect to it with TLS; false by default. cert-manager makes the certificate of one that is installed."""
    certificate_authority: NotRequired[str]
    """Certificate of the authority of one that is there, in PEM; left out: an authority that everybody knows."""
    memory_mib: NotRequired[int]
    """Memory for data of the one that is installed, in MiB; 256 by default."""
    cpu: NotRequired[float]
    """Cores that the one that is installed requests; 0.1 by default."""
    storage_gib: NotRequired[int]
    """Size of the disk of the one that is installed, in GiB; 2 by default."""
    storage_class: NotRequired[str]
    """Storage class of that disk; left out: the cluster's default."""


class RedisStoresArgs(TypedDict):
    """Where the pods of the gateway keep what they share."""

    limits: NotRequired[LimitsRedisArgs]
    """Counts of limits and budgets; left out: each pod counts for itself, and there are no budgets."""
    cache: NotRequired[RedisSettingsArgs]
    """Answers; left out: no cache."""
    timeout_seconds: NotRequired[float]
    """Longest wait for an answer of either, in seconds; 0.2 by default. A request goes on without it."""


class PostgresArgs(TypedDict):
    """A Postgres that is there, for keys that change without an update and for what budgets have used."""

    host: str
    """Its host."""
    port: NotRequired[int]
    """Its TCP port; 5432 by default."""
    database: NotRequired[str]
    """Its database, of this stack alone; `llm_gateway` by default."""
    secret_name: str
    """Secret in the gateway's namespace with `username` and `password`."""
    tls: NotRequired[str]
    """`verify-full` (the default), `verify-ca`, where its certificate has another name and an authority of its own, or
    `off`."""
    ca_secret_name: NotRequired[str]
    """Secret in the gateway's namespace with `ca.crt`, who signs its certificate; left out: public authorities."""
    addresses: NotRequired[list[str]]
    """IPv4 ranges that it has its address in; none named: private ones, or the pods of the namespace in its host's
    name (`db.data.svc`)."""
    timeout_seconds: NotRequired[float]
    """Longest wait for a key that is looked up, in seconds; 0.2 by default."""
    cache_seconds: NotRequired[int]
    """How long a key is trusted that was looked up, in seconds; 30 by default. A change is seen at once, where the
    database can say so."""
    stale_seconds: NotRequired[int]
    """How long it is trusted while the database does not answer, in seconds; 300 by default."""


class AnswerCacheArgs(TypedDict):
    """Answers that are given again to the same request."""

    kind: NotRequired[str]
    """`exact` (the default): to the same request. `semantic`: also to one whose last question means the same, where all
    else is equal."""
    embedding_model: NotRequired[str]
    """Model of embeddings that tells which questions mean the same; needed for `semantic`."""
    threshold: NotRequired[float]
    """Least similarity (cosine) of two questions that mean the same; 0.95 by default."""
    max_entries: NotRequired[int]
    """Questions that are kept of one conversation of one key or team; 1000 by default."""
    ttl_seconds: NotRequired[int]
    """How long an answer is given again, in seconds; 300 by default."""
    stale_seconds: NotRequired[int]
    """How old an answer may be that is given where no back end answers, in seconds; 3600 by default, 0 for none."""
    scope: NotRequired[str]
    """Who may be given it: the same `key` (the default), or every key of its `team`."""


class GuardrailsArgs(TypedDict):
    """What is looked for in prompts and answers: personal data, secrets, attempts to change a model's instructions."""

    input: NotRequired[list[str]]
    """What is looked for in prompts: `email`, `phone`, `credit-card`, `iban`, `us-ssn`, `ip-address`, `api-key`,
    `private-key`."""
    output: NotRequired[list[str]]
    """What is looked for in answers."""
    prompt_injection: NotRequired[bool]
    """Refuse prompts that look as if they would change the model's instructions, or have it say them; false by default.
        """
    action: NotRequired[str]
    """`mask` (the default) puts a placeholder in its place; `block` refuses the request."""
    stream_look_ahead: NotRequired[int]
    """Characters of a stream that are held back, so that what is looked for is seen whole; 80 by default."""


class WebhooksArgs(TypedDict):
    """Messages that say that a request of the queue, or a batch, has ended."""

    hosts: list[str]
    """Hosts that they may be sent to by HTTPS: `hooks.example.com`, `*.example.com` for all below it, with a port
    where it is not 443. An address that is not of the internet is never sent to."""
    attempts: NotRequired[int]
    """How often one is sent at most, until its receiver takes it; 8 by default, over two and a half hours."""


class QueueArgs(TypedDict):
    """The queue, which is kept in the Redis of limits."""

    workers: NotRequired[int]
    """Pods that work it off; 1 by default."""
    cpu: NotRequired[float]
    """Cores that one of them requests; 0.25 by default."""
    concurrency: NotRequired[int]
    """Requests that a worker sends at once; 8 by default."""
    service_class: NotRequired[str]
    """`critical`, `standard` or `batch` (the default): of requests of the queue, unless their key has a lower one."""
    scope: NotRequired[str]
    """Who sees a request and its result: the `key` that submitted it (the default), or every key of its `team`."""
    max_requests: NotRequired[int]
    """Requests that wait and run, of all keys together; 10,000 by default. More are refused for the time being."""
    memory_mib: NotRequired[int]
    """Memory of the Redis of limits that requests, files and results may take, in MiB; 128 by default."""
    file_bytes: NotRequired[int]
    """Size of a file of requests in bytes; 16,000,000 by default."""
    file_lines: NotRequired[int]
    """Requests in a file; 5000 by default."""
    result_bytes: NotRequired[int]
    """Size of an answer that is kept, in bytes; 1,000,000 by default. A request with a larger one has failed."""
    wait_seconds: NotRequired[int]
    """How long a request may wait until it is answered, in seconds; 86,400 by default, a day."""
    keep_seconds: NotRequired[int]
    """How long results and files are kept, in seconds; 86,400 by default, a day."""
    deliveries: NotRequired[int]
    """How often a request is tried that no back end answers, or whose worker dies; 5 by default."""
    lease_seconds: NotRequired[int]
    """After how long a request goes to another worker where its own is silent, in seconds; 30 by default."""
    webhooks: NotRequired[WebhooksArgs]
    """Messages that a request has ended; left out: none are sent."""


class IssuerArgs(TypedDict):
    """An issuer of cert-manager that is there."""

    name: str
    """Its name."""
    kind: NotRequired[str]
    """`ClusterIssuer` (the default), or `Issuer` in the gateway's namespace."""


class AcmeArgs(TypedDict):
    """An account of an authority that speaks ACME, such as Let's Encrypt."""

    email: str
    """Where the authority writes to before a certificate ends."""
    server: NotRequired[str]
    """Its directory; that of Let's Encrypt by default."""
    dns01: NotRequired[dict[str, Any]]
    """How the record of the domain is changed that proves that it is ours: one solver in the form of cert-manager, with
    the names of Secrets of the gateway's namespace. Left out: the authority asks the gateway itself, over HTTP."""


class GatewayTlsArgs(TypedDict):
    """The gateway's certificate, one of four."""

    secret_name: NotRequired[str]
    """A Secret of type `kubernetes.io/tls` in the gateway's namespace, which somebody else keeps."""
    issuer: NotRequired[IssuerArgs]
    """An issuer of cert-manager that is there."""
    acme: NotRequired[AcmeArgs]
    """An authority that is asked by an issuer of the gateway's own."""
    load_balancer_certificate: NotRequired[str]
    """A certificate of the cloud, with which the load balancer ends TLS: on AWS the ARN of one of ACM."""


class CertificateSecretArgs(TypedDict):
    """A certificate that is there."""

    secret_name: str
    """Secret of type `kubernetes.io/tls`."""


class LoadBalancerArgs(TypedDict):
    """The load balancer of the cloud in front of the gateway."""

    public: NotRequired[bool]
    """Has an address of the internet; false by default: one of the cloud's private network."""
    source_ranges: NotRequired[list[str]]
    """Addresses of clients; left out: all of private networks, of a public one everybody."""
    addresses: NotRequired[list[str]]
    """Addresses that it has, which are reserved: an IPv4 address, on AWS the allocations of Elastic IP addresses; left
    out: the cloud gives it one."""
    external_traffic_policy: NotRequired[str]
    """`Local` (the default) keeps the addresses of clients; `Cluster` replaces them by those of nodes, for load
    balancers that find no node with a pod by themselves."""
    annotations: NotRequired[dict[str, str]]
    """More annotations of its Service, for what the cloud has no setting for here."""
    external_dns: NotRequired[bool]
    """Have ExternalDNS of the cluster make the record of `host`; false by default."""


class ExistingEdgeArgs(TypedDict):
    """A Gateway that clients reach already, by HTTPS. Its certificate, address and limits are its own."""

    name: str
    """Its name."""
    namespace: str
    """Its namespace. It must let routes in: `allowedRoutes` of its listener."""
    listener: NotRequired[str]
    """The one listener that routes attach to (`sectionName`); left out: all of them."""
    proxy_namespace: NotRequired[str]
    """Namespace of the pods that serve it; left out: its own."""


class RouterArgs(TypedDict):
    """The router of a release."""

    policy: NotRequired[str]
    """Which engine gets a request: `cache_aware`, `round_robin`, `power_of_two` or `consistent_hash`. Left out:
    `cache_aware` where answers are generated, else `round_robin`."""
    replicas: NotRequired[int]
    """Routers; 2 by default. Each knows of engines only what it saw itself."""
    cpu: NotRequired[float]
    """Cores that a router requests; 0.25 by default."""
    breaker_failures: NotRequired[int]
    """Failures of an engine, one after the other, from which on it gets no requests; 3 by default. A request is tried
    once more than that."""
    breaker_seconds: NotRequired[int]
    """Time after which such an engine is tried again, in seconds; 10 by default."""
    health_timeout_seconds: NotRequired[int]
    """Time in which an engine must say that it is well, in seconds; 10 by default. One that is late three times gets no
    requests until it is in time again."""


class GatewaySettingsArgs(TypedDict):
    """The gateway in front of all models."""

    namespace: NotRequired[str]
    """Its namespace; `llm-gateway` by default."""
    image: GatewayImageArgs
    """Image of the gateway."""
    proxy_image: GatewayImageArgs
    """Image of its proxy."""
    router_image: NotRequired[GatewayImageArgs]
    """Image of routers; needed where a model has a router."""
    redis_image: NotRequired[GatewayImageArgs]
    """Image of Redis; needed where a Redis is installed."""
    host: NotRequired[str]
    """Name by which clients reach it; left out: any name."""
    tls: NotRequired[GatewayTlsArgs]
    """Its certificate; left out: HTTP without TLS."""
    load_balancer: NotRequired[LoadBalancerArgs]
    """The load balancer in front of it; left out: pods of the cluster alone reach it."""
    existing_edge: NotRequired[ExistingEdgeArgs]
    """A Gateway that clients reach already, in place of one of its own."""
    replicas: NotRequired[GatewayReplicasArgs]
    """How many pods."""
    cpu: NotRequired[float]
    """Cores that one of its pods requests; 0.5 by default. A request takes 20 ms of one."""
    proxy_cpu: NotRequired[float]
    """Cores that a pod of its proxy requests; 0.2 by default."""
    router: NotRequired[RouterArgs]
    """Routers of releases: which instance gets a request, and which get none for a while."""
    routing: NotRequired[str]
    """What spreads requests over a release's instances: `router` (the default) or `service`."""
    models: NotRequired[list[GatewayModelArgs]]
    """What differs between models."""
    keys: NotRequired[list[KeyArgs]]
    """Who may use it."""
    limits: NotRequired[GatewayLimitsArgs]
    """The largest request."""
    timeouts: NotRequired[GatewayTimeoutsArgs]
    """How long to wait for an engine."""
    retries: NotRequired[RetriesArgs]
    """Requests that fail."""
    breaker: NotRequired[BreakerArgs]
    """When a back end that fails is left alone."""
    hosted: NotRequired[list[HostedProviderArgs]]
    """Providers outside of the cluster that answer where nothing inside does, in this order; none by default."""
    overload: NotRequired[OverloadArgs]
    """What gives way when a model has nearly as many requests as it can take."""
    redis: NotRequired[RedisStoresArgs]
    """Where pods keep what they share."""
    postgres: NotRequired[PostgresArgs]
    """Keys that change without an update, beside `keys`, and what budgets have used; left out: none."""
    cache: NotRequired[AnswerCacheArgs]
    """Answers that are given again; left out: none is."""
    guardrails: NotRequired[GuardrailsArgs]
    """Personal data and secrets that are looked for; left out: none."""
    queue: NotRequired[QueueArgs]
    """Requests without a connection; left out: there are none."""
    fail_closed_seconds: NotRequired[int]
    """How long keys with a budget are served while neither the Redis of limits nor `postgres` answers, in seconds; 300
    by default."""


class GatewayReferenceArgs(TypedDict):
    """A Gateway of the Gateway API that somebody else runs."""

    name: str
    """Its name."""
    namespace: str
    """Its namespace. It must let routes in: `allowedRoutes` of its listener."""
    listener: NotRequired[str]
    """The one listener that routes attach to (`sectionName`); left out: all of them."""


class ModelEndpointArgs(TypedDict):
    """A model that clients may ask by its name. Nothing of its releases, which change without the gateway."""

    name: str
    """Name of the model, as clients use it."""
    context_tokens: int
    """Tokens of prompt and answer together that every release of it takes."""
    task: NotRequired[str]
    """`generate` (the default), `embed` or `classify`: what it is asked for."""
    service_class: NotRequired[str]
    """`critical`, `standard` (the default) or `batch`."""
    cold_start_seconds: NotRequired[int]
    """Time that its first instance is planned to take until it answers, where it may have none; left out: it always
    has one."""
    routing: NotRequired[str]
    """`router` (the default): a router of its release asks its engines. `service`: the gateway's proxy does."""
