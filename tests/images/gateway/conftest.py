"""Two gateways on one Redis, and two back ends, for all tests of this folder: a gateway takes long to start."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.images.gateway import backend as backends
from tests.images.gateway.backend import Backend, Behaviour
from tests.images.gateway.pods import Pod, Redis, free_port, key, start, stop, wait_ready, write_keys
from tests.images.locked_environment import NotHereError

KEYS = (key("any"),)
"""The keys that every test starts with."""


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
def configuration(weighted: Backend, stable: Backend, redis: Redis) -> Mapping[str, Any]:
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
            {"name": "second", "task": "chat", "contextTokens": 4096, **urls},
            {"name": "vectors", "task": "embed", "contextTokens": 512, **urls},
            {"name": "scores", "task": "classify", "contextTokens": 512, **urls},
        ],
        "limits": {"bodyBytes": 100_000, "maxOutputTokens": 512},
        "redis": {"limits": {"host": "127.0.0.1", "port": redis.port}, "timeoutSeconds": 0.2},
        "replicas": 2,
    }


@pytest.fixture(scope="session")
def pods(tmp_path_factory: pytest.TempPathFactory, configuration: Mapping[str, Any]) -> Iterator[Sequence[Pod]]:
    """Two replicas."""
    running: list[Pod] = []
    try:
        for name in ("a", "b"):
            running.append(start(tmp_path_factory.mktemp(f"gateway-{name}"), configuration, KEYS))
        for pod in running:
            wait_ready(pod)
        yield running
    except NotHereError as reason:
        pytest.fail(str(reason))
    finally:
        for pod in running:
            stop(pod)


@pytest.fixture
def pod(pods: Sequence[Pod], weighted: Backend, stable: Backend) -> Iterator[Pod]:
    """One of the two, with back ends that answer and have been asked nothing."""
    for backend in (weighted, stable):
        backend.behaviour = Behaviour()
        backend.requests.clear()
    yield pods[0]
    for pod in pods:
        write_keys(pod.folder, KEYS)
