"""The gateway of stack ``local`` as its clients see it, and its parts as a test sees them."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from llm_serving.gateway.names import EDGE_SERVICE
from tests.e2e.load import PAUSE_SECONDS
from tests.e2e.served import MODEL, QUESTION, Served, engine_of, sum_of

NAMESPACE = "llm-gateway"
CHAT = "/v1/chat/completions"
_SEEDS = count()
ANSWER_SECONDS = 120
"""A guard, longer than anything that the gateway waits for."""


@dataclass(frozen=True)
class Answer:
    """What a client got.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
        body: the text.
    """

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> Any:
        """The body as data."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What an OpenAI client reads of a refusal."""
        return self.json()["error"]


@dataclass(frozen=True)
class GatewayClient:
    """A client with a key.

    Attributes:
        served: the stack.
        key: what it shows; ``None`` for nothing.
    """

    served: Served
    key: str | None

    def base(self) -> str:
        """The address that clients use."""
        service = self.served.kubernetes().get("v1", "Service", EDGE_SERVICE, NAMESPACE)
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """One request."""
        return self._ask(path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    def get(self, path: str) -> Answer:
        """One request without a body."""
        return self._ask(path, None, {})

    def chat(self, **options: Any) -> Answer:
        """One chat completion, which was not asked for before: no kept answer is given."""
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 4, "seed": next(_SEEDS), **options}
        return self.post(CHAT, body)

    def events(self, **options: Any) -> Iterator[Any]:
        """Chunks of a streamed chat completion as they come."""
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 4, "stream": True, **options}
        request = self._request(CHAT, json.dumps(body).encode(), {})
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            for line in answer:
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    event = json.loads(line[6:])
                    assert "error" not in event, event
                    yield event

    def _request(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> urllib.request.Request:
        shown = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        return urllib.request.Request(
            f"{self.base()}{path}", data, {"Content-Type": "application/json", **shown, **headers}
        )

    def _ask(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            answer = urllib.request.urlopen(self._request(path, data, headers), timeout=ANSWER_SECONDS)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, names, answer.read().decode())


@contextmanager
def steady_load(client: GatewayClient, clients: int = 2) -> Iterator[list[int | str]]:
    """Clients that ask again and again.

    Yields:
        The status of each answer, or what a request failed with, as they come.
    """
    outcomes: list[int | str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                outcomes.append(client.chat().status)
            except (OSError, http.client.HTTPException) as error:
                outcomes.append(f"{type(error).__name__}: {error}")
            ended.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join(ANSWER_SECONDS)


def parts(served: Served, component: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Pods of a part of the gateway that are not on their way out."""
    pods = served.kubernetes().list("v1", "Pod", namespace, labels=f"app.kubernetes.io/component={component}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


@dataclass(frozen=True)
class GuardedEngine:
    """A stand-in for the engine that takes requests from its router alone; the node may ask it, as its kubelet does.

    Attributes:
        served: the stack.
        pod: its pod.
    """

    served: Served
    pod: Mapping[str, Any]

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        return sum_of(self.served.from_node(f"{engine_of(self.pod)}/metrics"), name)

    def tell(self, order: str) -> None:
        """Have it do what ``tests.stand_in.engine`` lists: ``hold``, ``release``, ``fail``."""
        answer = self.served.from_node(f"{engine_of(self.pod)}/stand-in/{order}", "PUT")
        assert answer.strip() == "{}", answer
