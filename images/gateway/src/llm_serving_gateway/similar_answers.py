"""Kept answers by the meaning of their questions: vectors in Redis, each with the key of an answer.

Questions are compared within a group alone (:mod:`llm_serving_gateway.questions`): one holder, one conversation, one
set of parameters. A Redis with vector sets (8.0 and later) looks them up itself; of an older one the vectors of a group
are read, and compared here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np  # pyright: ignore[reportMissingImports]
from redis.asyncio import Redis  # pyright: ignore[reportMissingImports]
from redis.exceptions import ResponseError  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.bounded_redis import BoundedRedis
from llm_serving_gateway.questions import is_turned

CANDIDATES = 4
"""Nearest questions that are looked at: the answer of the first may have gone."""
_SIGNATURE_BYTES = 16
_KEY_BYTES = 32


@dataclass(frozen=True)
class Candidate:
    """A question that was answered: the hash in its answer's key, and how similar it is."""

    answer: str
    similarity: float


class SimilarAnswers:
    """The vectors of all groups in one Redis.

    Args:
        redis: where they are.
        threshold: the least cosine of two questions that mean the same.
        most: of one group; the oldest, or with vector sets any, makes room.
        seconds: how long a group is kept after its last question.
    """

    def __init__(self, redis: BoundedRedis, threshold: float, most: int, seconds: int) -> None:
        self._redis, self._threshold, self._most, self._seconds = redis, threshold, most, seconds
        self._has_vector_sets: bool | None = None

    async def find(self, group: str, vector: Sequence[float], signature: bytes) -> Sequence[Candidate]:
        """The nearest questions of a group that are similar enough, the nearest first.

        Raises:
            RedisAwayError: Redis did not answer in time.
        """
        normal = _normal(vector)
        if normal is None:
            return ()
        if await self._vector_sets():
            rows = await self._redis.call(lambda redis: _search(redis, group, normal))
        else:
            packed = await self._redis.call(lambda redis: redis.lrange(_list(group), 0, self._most - 1))
            rows = _compare(packed, normal)
        return [
            Candidate(answer, similarity)
            for answer, other, similarity in rows
            if similarity >= self._threshold and not is_turned(signature, other)
        ]

    async def add(self, group: str, vector: Sequence[float], signature: bytes, answer: str) -> None:
        """Remember the question of an answer.

        Args:
            group: of the question.
            vector: of the question.
            signature: of the question.
            answer: hash in the answer's key.

        Raises:
            RedisAwayError: Redis did not do it in time.
        """
        normal = _normal(vector)
        if normal is None:
            return
        if await self._vector_sets():
            await self._redis.call(lambda redis: self._add_to_set(redis, group, normal, answer, signature))
        else:
            packed = bytes.fromhex(answer) + signature + normal.astype("<f2").tobytes()
            await self._redis.call(lambda redis: self._add_to_list(redis, group, packed))

    async def _add_to_set(self, redis: Redis, group: str, vector: Any, answer: str, signature: bytes) -> None:
        name = _set(group)
        element = f"{answer}:{signature.hex()}"
        await redis.execute_command("VADD", name, "FP32", vector.astype("<f4").tobytes(), element, "NOQUANT")
        await redis.expire(name, self._seconds)
        if await redis.execute_command("VCARD", name) > self._most:
            await redis.execute_command("VREM", name, await redis.execute_command("VRANDMEMBER", name))

    async def _add_to_list(self, redis: Redis, group: str, packed: bytes) -> None:
        name = _list(group)
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.lpush(name, packed).ltrim(name, 0, self._most - 1).expire(name, self._seconds)
            await pipeline.execute()

    async def _vector_sets(self) -> bool:
        """Whether this Redis has them."""
        if self._has_vector_sets is None:
            self._has_vector_sets = await self._redis.call(_has_vector_sets)
        return self._has_vector_sets


async def _has_vector_sets(redis: Redis) -> bool:
    try:
        await redis.execute_command("VCARD", _set(""))
    except ResponseError:  # an unknown command, or one that may not be used
        return False
    return True


async def _search(redis: Redis, group: str, vector: Any) -> list[tuple[str, bytes, float]]:
    found = await redis.execute_command(
        "VSIM", _set(group), "FP32", vector.astype("<f4").tobytes(), "WITHSCORES", "COUNT", CANDIDATES
    )
    # A map, or with the older protocol a list of names and scores in turn.
    pairs = found.items() if isinstance(found, Mapping) else zip(found[::2], found[1::2], strict=True)
    rows: list[tuple[str, bytes, float]] = []
    for element, score in pairs:
        answer, _, signature = element.decode().partition(":")
        rows.append((answer, bytes.fromhex(signature), 2 * float(score) - 1))  # of 0 to 1
    return sorted(rows, key=lambda row: -row[2])


def _compare(packed: Sequence[bytes], vector: Any) -> list[tuple[str, bytes, float]]:
    length = _KEY_BYTES + _SIGNATURE_BYTES + 2 * len(vector)
    entries = [entry for entry in packed if len(entry) == length]
    if not entries:
        return []
    table = np.frombuffer(b"".join(entries), dtype=np.uint8).reshape(len(entries), length)
    vectors = np.ascontiguousarray(table[:, _KEY_BYTES + _SIGNATURE_BYTES :]).view("<f2").astype(np.float32)
    similarities = vectors @ vector
    nearest = np.argsort(-similarities)[:CANDIDATES]
    return [
        (
            entries[index][:_KEY_BYTES].hex(),
            entries[index][_KEY_BYTES : _KEY_BYTES + _SIGNATURE_BYTES],
            float(similarities[index]),
        )
        for index in nearest
    ]


def _normal(vector: Sequence[float]) -> Any | None:
    """The vector with length 1, ``None`` where it has none."""
    array = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(array))
    return array / length if np.isfinite(length) and length > 0 else None


def _list(group: str) -> str:
    return f"similar:list:{group}"


def _set(group: str) -> str:
    return f"similar:set:{group}"
