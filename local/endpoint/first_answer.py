"""Whether a model answers, asked as a client asks."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from llm_serving.spec import Task
from local.cluster import ClusterError
from local.cluster.rest import ApiError, Kubernetes, UnreachableError

QUESTION = "Say something."
_MODELS = "/v1/models"
_PARTS = {"/v1/chat/completions": "choices", "/v1/embeddings": "data", _MODELS: "data"}
"""By path, what an answer has one of at least."""
ANSWER_SECONDS = 60.0
"""How long a model whose pods are ready may take: a Service forwards up to two seconds later than that."""

_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without the proxy that the environment may name: the address is one of this machine's own."""

Ask = Callable[[str, dict[str, Any] | None], Any]
"""Asks the API: path below ``/v1`` and a body, or ``None`` to get."""


def directly(base: str, key: str | None = None) -> Ask:
    """Asks at an address, with a key where one is given."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"

    def ask(path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{base}{path}", data, headers)
        with _STRAIGHT.open(request, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)

    return ask


def through_api_server(client: Kubernetes, namespace: str, service: str, port: int) -> Ask:
    """Asks through the API server's proxy, for clusters whose Services this machine does not reach."""

    def ask(path: str, body: dict[str, Any] | None) -> Any:
        proxied = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{path}"
        return client.request("GET" if body is None else "POST", proxied, body=body, timeout=ANSWER_SECONDS)

    return ask


def request_for(task: Task, model: str, max_tokens: int = 16) -> tuple[str, dict[str, Any] | None]:
    """Path and body of a request that a model answers; of one that gives scores, the list of models."""
    if task is Task.GENERATE:
        messages = [{"role": "user", "content": QUESTION}]
        return "/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": max_tokens}
    if task is Task.EMBED:
        return "/v1/embeddings", {"model": model, "input": QUESTION}
    return _MODELS, None


def wait_for_answer(
    ask: Ask, model: str, seconds: float = ANSWER_SECONDS, task: Task = Task.GENERATE
) -> Mapping[str, Any]:
    """Wait for the answer to a request and return it.

    Raises:
        ClusterError: it does not answer in time; says what it said last.
    """
    end = time.monotonic() + seconds
    path, body = request_for(task, model)
    while True:
        try:
            served = [entry["id"] for entry in ask(_MODELS, None)["data"]]
            if model in served:
                answer = ask(path, body)
                if answer[_PARTS[path]]:
                    return answer
            last = f"it serves {', '.join(served) or 'nothing'}"
        except (OSError, ApiError, UnreachableError, KeyError, IndexError, TypeError, ValueError) as error:
            last = str(error) or type(error).__name__
        if time.monotonic() > end:
            raise ClusterError(f"{model} does not answer after {seconds:g} s: {last}. See: make status STACK=local")
        time.sleep(0.5)


def wait_for_refusal(ask: Ask, seconds: float = ANSWER_SECONDS) -> None:
    """Wait until a gateway refuses a request without a key, as it does where it works.

    Raises:
        ClusterError: it does not in time; says what it said last.
    """
    end = time.monotonic() + seconds
    last = ""
    while time.monotonic() < end:
        try:
            ask(_MODELS, None)
            last = "it lets in requests without a key"
        except ApiError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return
            last = str(error)
        except (OSError, UnreachableError) as error:
            last = str(error) or type(error).__name__
        time.sleep(0.5)
    raise ClusterError(f"the gateway does not answer after {seconds:g} s: {last}. See: make status STACK=local")
