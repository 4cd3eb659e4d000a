"""Two gateways on one Redis, and two back ends, for all tests of this folder: a gateway takes long to start."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stacks.key_table import in_database
from tests.images.gateway import backend as backends
from tests.images.gateway.backend import Backend, Behaviour
from tests.images.gateway.pods import Pod, Redis, key, serving, start, wait_until, write_keys
from tests.images.gateway.postgres import GATEWAY_USER, PASSWORD, Postgres
from tests.images.launched import free_port

TIMEOUT_SECONDS = 5
"""Of Redis. More than in production: on a busy machine the gateway itself may rest so long."""

CHAT = "/v1/chat/completions"
MAX_QUEUED = 12

CROWDED_REQUESTS = 10
"""That the model ``crowded`` takes at once."""
KEYS = (key("any"),)
"""The keys that every test starts with."""


NO_BREAKER = {"minRequests": 10**6}
"""A test must not find a back end left alone for what the one before did to it. Breakers have tests of their own."""


def give_keys(pods: Sequence[Pod], *more: Mapping[str, Any]) -> None:
    """Let these keys count, and those that every test starts with, in gateways that run."""
    running = [pod for pod in pods if pod.process.poll() is None]
    for pod in running:
        write_keys(pod.folder, [*KEYS, *more])
    for pod in running:
        for each in (*KEYS, *more):
            # Without a model it is refused before it counts.
            wait_until(lambda pod=pod, name=each["name"]: pod.post(CHAT, {}, name).status_code == 400, "the keys")


@pytest.fixture(scope="session")
def weighted() -> Iterator[Backend]:
    """What the weighted back end of every model is."""
    with backends.running("canary") as backend:
        yield backend


@pytest.fixture(scope="session")
def stable() -> Iterator[Backend]:
    """What the stable back end of every model is."""
    with backends.running("stable") as backend:
        yield backend


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """The Redis of limits and budgets."""
    redis = Redis(tmp_path_factory.mktemp("redis"), free_port())
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The Postgres of keys and budgets, with their tables."""
    postgres = Postgres()
    postgres.make()
    url = f"postgresql://postgres:{PASSWORD.replace(' ', '%20')}@{postgres.url.partition('@')[2]}"
    assert in_database(url, lambda tables: tables.migrate(GATEWAY_USER))
    yield postgres
    postgres.remove()


@pytest.fixture(scope="session")
def configuration(weighted: Backend, stable: Backend, redis: Redis, postgres: Postgres) -> Mapping[str, Any]:
    """What the gateways serve."""
    urls = {"weightedUrl": weighted.url, "stableUrl": stable.url}
    return {
        "version": 1,
        "models": [
            {
                "name": "tiny",
                "task": "chat",
                "contextTokens": 2048,
                "usdPerMillionInputTokens": 1000.0,
                "usdPerMillionOutputTokens": 1000.0,
                **urls,
            },
            {"name": "crowded", "task": "chat", "contextTokens": 2048, "maxRequests": CROWDED_REQUESTS, **urls},
            {"name": "second", "task": "chat", "contextTokens": 4096, **urls},
            {"name": "vectors", "task": "embed", "contextTokens": 512, **urls},
            {"name": "scores", "task": "classify", "contextTokens": 512, **urls},
        ],
        "limits": {"bodyBytes": 100_000, "maxOutputTokens": 512},
        "redis": {"limits": {"host": "127.0.0.1", "port": redis.port}, "timeoutSeconds": TIMEOUT_SECONDS},
        "queue": {
            "concurrency": 4,
            "maxRequests": MAX_QUEUED,
            "fileLines": 100,
            "resultBytes": 20_000,
            "deliveries": 3,
            "leaseSeconds": 8,
            "backoffSeconds": 0.1,
            "webhooks": {"hosts": ["hooks.example.com", "localhost"], "attempts": 2},
        },
        "breaker": NO_BREAKER,
        "overload": {"batchOutputTokens": 16, "waitSeconds": 0.5, "retryAfterSeconds": 7},
        "postgres": {
            **postgres.endpoint(),
            "timeoutSeconds": TIMEOUT_SECONDS,
            "cacheSeconds": 3600,
            "staleSeconds": 7200,
        },
        "replicas": 2,
    }


@pytest.fixture(scope="session")
def pods(
    tmp_path_factory: pytest.TempPathFactory, configuration: Mapping[str, Any], postgres: Postgres
) -> Iterator[Sequence[Pod]]:
    """Two replicas."""

    def begin(folder: Path) -> Pod:
        return start(folder, configuration, KEYS, postgres=postgres.files_of_a_pod())

    with serving(begin, [tmp_path_factory.mktemp(f"gateway-{name}") for name in ("a", "b")]) as begun:
        yield begun


@pytest.fixture
def pod(pods: Sequence[Pod], weighted: Backend, stable: Backend) -> Pod:
    """One of the two, with the first keys, and back ends that answer and have been asked nothing."""
    give_keys(pods)
    for backend in (weighted, stable):
        backend.behaviour = Behaviour()
        backend.requests.clear()
        backend.cut.clear()
    return pods[0]


@pytest.fixture(scope="session")
def other() -> Iterator[Backend]:
    """What both back ends of models are that others fall back to."""
    with backends.running("other") as backend:
        yield backend


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """The Redis of answers."""
    redis = Redis(tmp_path_factory.mktemp("cache"), free_port())
    redis.start()
    yield redis
    redis.kill()


PROTECTED_KEYS = (
    *KEYS,
    key("narrow", models=["first"]),
    *(key(name, team="one") for name in ("alone", "lone")),
    *(key(name, team="one", cacheScope="team") for name in ("shared", "both")),
    key("foreign", team="two", cacheScope="team"),
)


def _sleeper(name: str, wake_seconds: float, **more: Any) -> Mapping[str, Any]:
    """A model that may have no instance, and whose first one takes five minutes."""
    timeouts = {"totalSeconds": 20, "wakeSeconds": wake_seconds}
    return {"name": name, "contextTokens": 2048, "coldStartSeconds": 300, "timeouts": timeouts, **more}


@pytest.fixture(scope="session")
def protected_pod(
    tmp_path_factory: pytest.TempPathFactory, weighted: Backend, stable: Backend, other: Backend, cache: Redis
) -> Iterator[Pod]:
    """A gateway with answers kept, guardrails, fallbacks and a model of short time-outs."""
    urls = {"weightedUrl": weighted.url, "stableUrl": stable.url}
    elsewhere = {"weightedUrl": other.url, "stableUrl": other.url}
    hasty = {"connectSeconds": 2, "firstTokenSeconds": 4, "betweenTokensSeconds": 1, "totalSeconds": 16}
    models = [
        {"name": "tiny", "contextTokens": 2048, **urls},
        {"name": "first", "contextTokens": 2048, "fallbacks": ["equal", "large"], **urls},
        {"name": "equal", "contextTokens": 2048, **elsewhere},
        {"name": "large", "contextTokens": 8192, **elsewhere},
        {"name": "hasty", "contextTokens": 2048, "timeouts": hasty, **urls},
        {"name": "brief", "contextTokens": 2048, "timeouts": {"totalSeconds": 2}, **urls},
        {"name": "vectors", "task": "embed", "contextTokens": 512, **urls},
        {"name": "scores", "task": "classify", "contextTokens": 512, **urls},
        # Those of the pages.
        {"name": "qwen3-8b", "contextTokens": 32_768, **urls},
        {"name": "tiny-llama", "contextTokens": 2048, **urls},
        _sleeper("patient", 3600, **urls),
        _sleeper("hurried", 2, **urls),
        _sleeper("curt", 0, **urls),
        _sleeper("spared", 0, fallbacks=["equal"], **urls),
    ]
    configuration = {
        "version": 1,
        "models": models,
        "retries": {"attempts": 2},
        "breaker": NO_BREAKER,
        "redis": {"cache": {"host": "127.0.0.1", "port": cache.port}, "timeoutSeconds": 0.2},
        "cache": {"ttlSeconds": 300, "staleSeconds": 3600},
        "guardrails": {"input": ["email", "api-key"], "output": ["email"], "action": "block", "promptInjection": True},
    }
    with serving(
        lambda folder: start(folder, configuration, PROTECTED_KEYS), [tmp_path_factory.mktemp("protected")]
    ) as (pod,):
        yield pod


@pytest.fixture
def protected(protected_pod: Pod, cache: Redis, weighted: Backend, stable: Backend, other: Backend) -> Pod:
    """That gateway, with back ends that answer and have been asked nothing, and no answer kept."""
    for backend in (weighted, stable, other):
        backend.behaviour = Behaviour()
        backend.requests.clear()
    assert cache.command("FLUSHALL") == "+OK"
    return protected_pod


OPEN_SECONDS = 2.0
"""How long a breaker of this gateway stays open."""

HOSTED_KEYS = (
    key("may", team="chat"),
    key("may-not", team="secret"),
    key("narrow", team="chat", models=["own", "dear"]),
    key("spender", team="chat", budget={"usd": 1.0}),
)


def _prices(usd: float) -> Mapping[str, float]:
    """A million tokens of either kind for so many dollars."""
    return {"usdPerMillionInputTokens": usd, "usdPerMillionOutputTokens": usd}


@pytest.fixture(scope="session")
def provider() -> Iterator[Backend]:
    """What answers outside of the cluster, with OpenAI's interface."""
    with backends.running("outside") as backend:
        yield backend


@pytest.fixture(scope="session")
def hosted_pod(
    tmp_path_factory: pytest.TempPathFactory,
    weighted: Backend,
    stable: Backend,
    other: Backend,
    provider: Backend,
    redis: Redis,
    cache: Redis,
) -> Iterator[Pod]:
    """A gateway with hosted providers, breakers that open soon, and answers kept."""
    urls = {"weightedUrl": weighted.url, "stableUrl": stable.url}
    elsewhere = {"weightedUrl": other.url, "stableUrl": other.url}
    hasty = {"connectSeconds": 2, "firstTokenSeconds": 4, "betweenTokensSeconds": 1, "totalSeconds": 16}
    models = [
        {"name": "own", "contextTokens": 2048, **_prices(1.0), **urls},
        {"name": "led", "contextTokens": 2048, "fallbacks": ["middle"], **_prices(1000.0), **urls},
        {"name": "middle", "contextTokens": 2048, **_prices(3000.0), **elsewhere},
        {"name": "dear", "contextTokens": 2048, **_prices(1000.0), **urls},
        {"name": "hasty", "contextTokens": 2048, "timeouts": hasty, **urls},
        {"name": "alone", "contextTokens": 2048, **urls},
        {"name": "vectors", "task": "embed", "contextTokens": 512, **urls},
        {"name": "scores", "task": "classify", "contextTokens": 512, **urls},
    ]
    at_provider = {"contextTokens": 2048, **_prices(5000.0)}
    names = ("own", "led", "middle", "dear", "hasty", "vectors", "scores")
    outside = {
        "name": "outside",
        "url": provider.url,
        "teams": ["chat"],
        "budget": {"usd": 1000.0},
        "models": [{"model": name, "name": f"Maker/{name.title()}", **at_provider} for name in names],
    }
    small = {
        **outside,
        "name": "small",
        "url": provider.url.replace("127.0.0.1", "localhost"),
        "budget": {"tokens": 100},
        "models": [{"model": "alone", "name": "Maker/Small", **at_provider}],
    }
    configuration = {
        "version": 1,
        "models": models,
        "breaker": {"failureShare": 0.5, "minRequests": 6, "windowSeconds": 600, "openSeconds": OPEN_SECONDS},
        "hosted": [outside, small],
        "redis": {
            "limits": {"host": "127.0.0.1", "port": redis.port},
            "cache": {"host": "127.0.0.1", "port": cache.port},
            "timeoutSeconds": TIMEOUT_SECONDS,
        },
        "cache": {"ttlSeconds": 300, "staleSeconds": 0},
    }
    with serving(lambda folder: start(folder, configuration, HOSTED_KEYS), [tmp_path_factory.mktemp("hosted")]) as (
        pod,
    ):
        yield pod
