"""The wait for the first answer ends with the answer, or says what was heard last."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llm_serving.spec import Task
from local.cluster import ClusterError
from local.endpoint.first_answer import directly, wait_for_answer

MODELS = {"data": [{"id": "tiny-llama"}]}
CHAT = {"choices": [{"message": {"content": "Hello."}}]}


@contextmanager
def api(reply: Callable[[str], tuple[int, Any]]) -> Iterator[str]:
    """A server whose answers the test decides."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = reply(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_model_that_needs_a_moment_is_waited_for() -> None:
    paths: list[str] = []

    def reply(path: str) -> tuple[int, Any]:
        paths.append(path)
        if len(paths) == 1:
            return 503, {}
        return 200, MODELS if path == "/v1/models" else CHAT

    with api(reply) as base:
        assert wait_for_answer(directly(base), "tiny-llama") == CHAT
    assert paths == ["/v1/models", "/v1/models", "/v1/chat/completions"]


@pytest.mark.parametrize(
    ("task", "asked"),
    [(Task.EMBED, ["/v1/models", "/v1/embeddings"]), (Task.CLASSIFY, ["/v1/models", "/v1/models"])],
)
def test_a_model_that_writes_no_text_is_asked_for_what_it_gives(task: Task, asked: list[str]) -> None:
    paths: list[str] = []

    def reply(path: str) -> tuple[int, Any]:
        paths.append(path)
        return (200, MODELS) if path == "/v1/models" else (200, {"data": [{"embedding": [0.6, 0.8]}]})

    with api(reply) as base:
        assert wait_for_answer(directly(base), "tiny-llama", task=task)["data"]
    assert paths == asked


@pytest.mark.parametrize(
    ("reply", "heard"),
    [((503, {}), "503"), ((200, {"data": [{"id": "other"}]}), "it serves other"), ((200, {}), "data")],
    ids=["not ready", "another model", "no API"],
)
def test_what_was_heard_last_is_told(reply: tuple[int, Any], heard: str) -> None:
    with api(lambda _path: reply) as base, pytest.raises(ClusterError, match=heard):
        wait_for_answer(directly(base), "tiny-llama", seconds=0)


def test_nobody_there_is_told_as_such() -> None:
    with api(lambda _path: (200, {})) as base:
        pass
    with pytest.raises(ClusterError, match="refused"):
        wait_for_answer(directly(base), "tiny-llama", seconds=0)
