"""What becomes of requests when the engine is told to stop: each ends whole, is refused, or ends with an error."""

import http.client
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from llm_serving_engine.drain import Drain
from llm_serving_engine.drain_state import ApiProcessState, DrainState, Order

from llm_serving.metrics.series import LauncherSeries
from tests.images.launched import ANSWERING, PATIENCE, Launch, Launched, launching, until

pytest.importorskip("uvicorn", reason="the engine of these tests is served by vLLM's own web server, uvicorn")


@dataclass
class Answer:
    """What a client got; ``status`` 0: not even headers, ``broken``: not the whole body."""

    status: int = 0
    retry_after: str | None = None
    connection: str | None = None
    body: bytes = b""
    broken: bool = False

    @property
    def error(self) -> dict[str, object]:
        return json.loads(self.body)["error"]


class Request:
    """A request on its way."""

    def __init__(self, launched: Launched, name: str, kind: str, path: str = "/v1/completions") -> None:
        self._launched = launched
        self._name = name
        self.answer = Answer()
        self._thread = threading.Thread(target=self._ask, args=(kind, path), daemon=True)
        self._thread.start()

    def begun(self) -> "Request":
        until(lambda: (self._launched.state / f"{self._name}.begun").exists(), f"{self._name} reaches the engine")
        return self

    def gone(self) -> bool:
        return (self._launched.state / f"{self._name}.gone").exists()

    def go(self) -> None:
        self._launched.set(f"{self._name}.go")

    def ended(self) -> Answer:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self._name} was left hanging"
        return self.answer

    def _ask(self, kind: str, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._launched.engine_port, timeout=2 * PATIENCE)
        answer = self.answer
        try:
            connection.request("POST", path, json.dumps({"name": self._name, "kind": kind}))
            response = connection.getresponse()
            answer.status, answer.retry_after = response.status, response.headers.get("Retry-After")
            answer.connection = response.headers.get("Connection")
            while piece := response.read1():
                answer.body += piece
        except (OSError, http.client.HTTPException):
            answer.broken = True
        finally:
            connection.close()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launching(tmp_path) as start:
        yield start


def draining(launch: Launch, seconds: float) -> Launched:
    launched = launch(engine=ANSWERING, engine_options=(f"--shutdown-timeout={seconds:g}",))
    launched.ready()
    return launched


def told(launched: Launched, number: int = signal.SIGTERM) -> None:
    launched.process.send_signal(number)
    until(lambda: launched.get("/health")[1]["status"] == "draining", "the launcher is told")


def test_requests_that_run_end_whole_before_the_engine_is_told(launch: Launch) -> None:
    launched = draining(launch, 2 * PATIENCE)
    running = [Request(launched, kind, kind).begun() for kind in ("plain", "stream", "silent", "bytes")]
    told(launched)
    assert launched.get("/health/ready")[0] == 503
    assert launched.get("/health/live")[0] == 200
    assert launched.signals() == []
    for request in running:
        request.go()
    answers = [request.ended() for request in running]
    assert [(answer.status, answer.broken) for answer in answers] == [(200, False)] * 4
    assert [answer.body for answer in answers] == [
        b'{"text":"whole"}',
        b"data: one\n\ndata: [DONE]\n\n",
        b"data: [DONE]\n\n",
        b"data: one\n\ndata: [DONE]\n\n",
    ]
    assert launched.wait() == 0
    assert launched.signals() == ["SIGTERM"]
    assert "4 completed, 0 refused, 0 failed" in launched.process.communicate()[1]


def test_new_requests_are_refused_in_a_way_that_a_gateway_retries_and_probes_go_on(launch: Launch) -> None:
    launched = draining(launch, 2 * PATIENCE)
    running = Request(launched, "a", "stream").begun()
    told(launched)
    refused = Request(launched, "b", "plain").ended()
    assert (refused.status, refused.retry_after, refused.connection) == (503, "1", "close")
    assert "takes no new requests" in str(refused.error["message"])
    assert not (launched.state / "b.begun").exists()
    connection = http.client.HTTPConnection("127.0.0.1", launched.engine_port, timeout=PATIENCE)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    metrics = launched.metrics()
    assert metrics[LauncherSeries.REQUESTS_RUNNING] == 1
    assert metrics[f'{LauncherSeries.DRAINED_REQUESTS}{{outcome="refused"}}'] == 1
    running.go()
    assert running.ended().body.endswith(b"[DONE]\n\n")
    assert launched.wait() == 0


def test_requests_that_run_out_of_time_get_503_before_their_first_byte_or_an_error_in_their_stream(
    launch: Launch,
) -> None:
    launched = draining(launch, 0.2)
    kinds = ("plain", "silent", "stream", "bytes")
    requests = {kind: Request(launched, kind, kind).begun() for kind in kinds}
    launched.process.send_signal(signal.SIGTERM)
    for kind in ("plain", "silent"):
        answer = requests[kind].ended()
        assert (answer.status, answer.retry_after, answer.broken) == (503, "1", False)
        assert "could not answer in time" in str(answer.error["message"])
    stream = requests["stream"].ended()
    assert (stream.status, stream.broken) == (200, False)
    one, error, done = stream.body.strip().split(b"\n\n")
    assert (one, done) == (b"data: one", b"data: [DONE]")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == 503
    assert requests["bytes"].ended().broken
    assert launched.wait() == 0
    assert all(request.gone() for kind, request in requests.items() if kind != "bytes"), "the engine is not told"
    errors = launched.process.communicate()[1]
    assert "0 completed, 0 refused, 2 failed before their first byte, 1 ended with an error in their stream" in errors
    assert "1 cut, 0 still running" in errors


@pytest.mark.parametrize(
    ("path", "first"),
    [("/v1/messages", b"event: error\n"), ("/v1/responses", b"event: error\n"), ("/v1/chat/completions", b"data: {")],
)
def test_the_error_has_the_form_of_the_api_that_was_asked(launch: Launch, path: str, first: bytes) -> None:
    launched = draining(launch, 0.2)
    request = Request(launched, "a", "stream", path).begun()
    launched.process.send_signal(signal.SIGTERM)
    rest = request.ended().body.removeprefix(b"data: one\n\n")
    assert rest.startswith(first)
    content = next(line for line in rest.splitlines() if line.startswith(b"data: "))
    assert "the answer is not complete" in str(json.loads(content.removeprefix(b"data: ")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_again_takes_no_time_from_requests(launch: Launch, number: int) -> None:
    launched = draining(launch, 2 * PATIENCE)
    request = Request(launched, "a", "stream").begun()
    told(launched, number)
    for again in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        launched.process.send_signal(again)
    assert Request(launched, "b", "plain").ended().status == 503
    assert launched.signals() == []
    request.go()
    assert request.ended().body.endswith(b"[DONE]\n\n")
    assert launched.wait() == 0


def test_a_client_that_went_away_is_not_waited_for(launch: Launch) -> None:
    launched = draining(launch, 2 * PATIENCE)
    connection = http.client.HTTPConnection("127.0.0.1", launched.engine_port, timeout=PATIENCE)
    connection.request("POST", "/v1/completions", json.dumps({"name": "a", "kind": "plain"}))
    until(lambda: (launched.state / "a.begun").exists(), "the request reaches the engine")
    connection.close()
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert "0 completed" in launched.process.communicate()[1]


def test_an_idle_engine_is_told_at_once(launch: Launch) -> None:
    launched = draining(launch, 10 * PATIENCE)
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 0


def test_an_engine_without_the_gate_is_told_at_once(launch: Launch) -> None:
    launched = launch("--drain-seconds=600")
    launched.ready()
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert launched.signals() == ["SIGTERM"]


def test_draining_can_be_left_to_the_engine(launch: Launch) -> None:
    launched = launch("--drain-seconds=0", engine=ANSWERING, engine_options=("--shutdown-timeout=600",))
    launched.ready()
    request = Request(launched, "a", "plain").begun()
    command = Path(f"/proc/{launched.engine_pid}/cmdline").read_bytes()
    assert b"--middleware" not in command
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert request.ended().broken


def test_an_engine_that_dies_while_it_drains_ends_the_launcher(launch: Launch) -> None:
    launched = draining(launch, 2 * PATIENCE)
    request = Request(launched, "a", "plain").begun()
    told(launched)
    os.kill(launched.engine_pid, signal.SIGKILL)
    assert launched.wait() == 128 + signal.SIGKILL
    assert request.ended().broken


def test_a_machine_that_stood_still_leaves_the_middleware_time_for_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    drain_state = DrainState()
    page = ApiProcessState(drain_state.folder)  # of this process, which is the engine's too here
    page.add("running")
    polls = iter(range(100))

    def sleep(seconds: float) -> None:
        """The middleware ends the request at the launcher's third poll after the order."""
        if page.order is Order.CUT and next(polls) == 2:
            page.add("running", -1)
            page.add("ended")

    monkeypatch.setattr("llm_serving_engine.drain.time.sleep", sleep)
    monkeypatch.setattr("llm_serving_engine.drain.time.monotonic", map(float, range(0, 100_000, 3600)).__next__)
    lines: list[str] = []
    Drain(drain_state, 60, lines.append).wait()
    assert "1 ended with an error in their stream" in lines[-1]
    assert "0 still running" in lines[-1]
