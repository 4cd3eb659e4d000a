"""Embeddings of questions, from an embedding model of the stack: quickly, or not at all.

It is asked as engines are, by the proxy's internal listener. Whoever needs an embedding has a limit; a model that
fails is left alone for a while, so that not every request waits for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding
from llm_serving_gateway.configuration import Model
from llm_serving_gateway.exchange import RELEASE_HEADER

REST_SECONDS = 5.0
"""How long a model that failed is left alone."""
CONNECTIONS = 100

_ASKED = Counter("llm_gateway_cache_embeddings_total", "Embeddings for kept answers", ["model", "outcome"])


@dataclass(frozen=True)
class Embedding:
    """A vector, and the release that made it: those of two releases cannot be compared."""

    vector: Sequence[float]
    release: str | None


class Embedder:
    """Asks one model."""

    def __init__(self, model: Model, client: httpx.AsyncClient | None = None) -> None:
        self._name, self._url = model.name, f"{str(model.weighted_url).rstrip('/')}/embeddings"
        limits = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=60)
        self._client = client or httpx.AsyncClient(limits=limits, trust_env=False)
        self._rests_until = 0.0

    @property
    def model(self) -> str:
        """Its name."""
        return self._name

    async def embed(self, text: str, deadline: float) -> Embedding | None:
        """The embedding of a text, ``None`` where it does not come in time.

        Args:
            text: any.
            deadline: on the event loop's clock.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            _ASKED.labels(self._name, "resting").inc()
            return None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.post(
                    self._url,
                    content=encoding.dumps({"model": self._name, "input": text}),
                    headers=_HEADERS,
                    timeout=60,
                )
            response.raise_for_status()
            vector = [float(number) for number in encoding.loads(response.content)["data"][0]["embedding"]]
        except (TimeoutError, httpx.HTTPError, ValueError, LookupError, TypeError):
            self._rests_until = loop.time() + REST_SECONDS
            _ASKED.labels(self._name, "failed").inc()
            return None
        _ASKED.labels(self._name, "answered").inc()
        return Embedding(vector, response.headers.get(RELEASE_HEADER))

    async def close(self) -> None:
        """End its connections."""
        await self._client.aclose()


_HEADERS = {"content-type": "application/json"}
