"""The launcher with a real process under it: what probes see, how it stops, what it leaves behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_serving_engine.drain_state import VARIABLE, ApiProcessState

from tests.images.launched import (
    MODEL,
    PATIENCE,
    SOURCES,
    Launch,
    Launched,
    alive,
    free_port,
    launcher,
    launching,
    until,
)

_NO_HOST = "it must be an address or a name; its parts between dots have 1 to 63 characters"
_NO_KEY = "it holds characters that no HTTP header can carry; use printable ASCII alone"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launching(tmp_path) as start:
        yield start


def test_ready_comes_only_once_the_engine_lists_its_model(launch: Launch) -> None:
    launched = launch(files=("loading",))
    until(lambda: "serves no model" in (launched.get("/health")[1]["reason"] or ""), "the engine answers")
    status, health = launched.get("/health")
    assert (status, health["status"], health["model_loaded"]) == (503, "starting", False)
    assert launched.get("/health/ready")[0] == 503
    assert launched.get("/health/live")[0] == 200
    launched.clear("loading")
    launched.ready()
    status, health = launched.get("/health")
    assert (status, health["status"], health["model_loaded"], health["model"]) == (200, "ready", True, MODEL)
    assert health["reason"] is None


def test_an_engine_with_another_model_is_not_ready_and_the_reason_names_both(launch: Launch) -> None:
    launched = launch("--model=other")
    until(lambda: "the engine serves tiny-llama, not other" in (launched.get("/health")[1]["reason"] or ""), "a reason")
    assert launched.get("/health/ready")[0] == 503


def test_health_agrees_with_the_engines_own_metrics(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    health = launched.get("/health")[1]
    assert (health["queue_depth"], health["running_requests"], health["kv_cache_usage"]) == (11, 5, 0.5)
    assert health["uptime_seconds"] > 0
    assert alive(health["engine"]["pid"])


def test_health_says_nothing_about_the_load_of_an_engine_that_does_not_list_its_model(launch: Launch) -> None:
    launched = launch(files=("loading",))
    until(lambda: "serves no model" in (launched.get("/health")[1]["reason"] or ""), "the engine answers")
    _later(launched)
    health = launched.get("/health")[1]
    assert (health["queue_depth"], health["running_requests"], health["kv_cache_usage"]) == (None, None, None)


def test_sigterm_drains_at_once_and_the_launcher_ends_as_the_engine_does(launch: Launch) -> None:
    launched = launch(files=("drain",))
    launched.ready()
    launched.process.send_signal(signal.SIGTERM)
    until(lambda: launched.signals() == ["SIGTERM"], "the engine is told")
    assert launched.get("/health/ready") == (
        503,
        {"ready": False, "status": "draining", "reason": "the engine was told to stop"},
    )
    assert launched.get("/health/live")[0] == 200
    assert launched.get("/health")[1]["model_loaded"]
    launched.clear("drain")
    assert launched.wait() == 0


def test_a_drain_that_fails_takes_no_signal_from_the_engine(launch: Launch, tmp_path: Path) -> None:
    launched = launch("--drain-seconds=600")
    launched.ready()
    (drain_state,) = tmp_path.glob("llm-serving-ledger-*")
    (drain_state / "1").mkdir()  # in the place of an API process's page: it cannot be read
    launched.process.send_signal(signal.SIGTERM)
    assert launched.wait() == 0
    assert launched.signals() == ["SIGTERM"]
    assert "draining failed, the engine is told to stop now: IsADirectoryError" in launched.process.communicate()[1]


def test_sigint_reaches_the_engine_too(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    launched.process.send_signal(signal.SIGINT)
    assert launched.wait() == 0
    assert launched.signals() == ["SIGINT"]


def test_a_killed_engine_ends_the_launcher_and_all_that_the_engine_started(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    sleeper, _ = launched.children()
    assert alive(sleeper)
    os.kill(launched.engine_pid, signal.SIGKILL)
    assert launched.wait() == 128 + signal.SIGKILL
    assert not alive(sleeper)
    assert "the engine ended with status 137" in launched.process.communicate(timeout=PATIENCE)[1]


def test_a_killed_launcher_takes_the_engine_with_it(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    engine = launched.engine_pid
    launched.children()
    launched.process.kill()
    launched.wait()
    until(lambda: not alive(engine), "the engine ends")


def test_an_engine_is_never_started_once_its_launcher_is_gone(tmp_path: Path) -> None:
    # The launcher ends after it has made the child and before the child has become the engine.
    script = """
import os, signal, sys, time
from llm_serving_engine.process import EngineProcess

launcher = os.getpid()

def late():
    os.kill(launcher, signal.SIGKILL)
    while os.getppid() == launcher:
        time.sleep(0.01)

signal.signal(signal.SIGTERM, lambda number, frame: None)
os.register_at_fork(after_in_child=late)
EngineProcess(["touch", sys.argv[1]]).start()
"""
    mark = tmp_path / "started"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(mark)],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.communicate(timeout=PATIENCE)  # to the end of the child, which has the same pipes
    assert process.returncode == -signal.SIGKILL
    assert not mark.exists()


def test_orphans_are_reaped_while_the_engine_runs(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    _, orphan = launched.children()
    until(lambda: not Path(f"/proc/{orphan}").exists(), "the orphan is reaped")
    assert launched.get("/health/ready")[0] == 200


def test_an_engine_that_hangs_fails_liveness_and_one_that_comes_back_is_ready_again(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.3", "--probe-timeout=0.2")
    launched.ready()
    engine = launched.engine_pid
    os.kill(engine, signal.SIGSTOP)
    until(lambda: launched.status_of("/health/live") == 503, "liveness fails")
    status, health = launched.get("/health")
    assert (status, health["status"]) == (503, "failed")
    assert "did not answer within 0.2 s" in health["reason"]
    os.kill(engine, signal.SIGCONT)
    launched.ready()
    assert launched.get("/health/live")[0] == 200


def test_an_engine_that_hangs_with_requests_fails_liveness_though_its_health_is_answered(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.3", "--probe-timeout=0.2")
    launched.ready()
    launched.set("hung")
    until(lambda: launched.status_of("/health/live") == 503, "liveness fails")
    status, health = launched.get("/health")
    assert (status, health["status"]) == (503, "failed")
    assert health["reason"] == "the engine has requests, and none of its counters has moved for 0.3 s"
    launched.clear("hung")
    launched.ready()
    assert launched.get("/health/live")[0] == 200


def test_requests_that_the_engines_metrics_do_not_know_yet_count(launch: Launch, tmp_path: Path) -> None:
    launched = launch("--stall-seconds=0.3", "--probe-timeout=0.2", "--drain-seconds=600", files=("idle",))
    launched.ready()
    launched.set("hung")
    _later(launched)
    assert launched.get("/health/live")[0] == 200  # nobody waits for it
    (drain_state,) = tmp_path.glob("llm-serving-ledger-*")
    middleware = ApiProcessState.of({VARIABLE: str(drain_state)})
    assert middleware is not None
    middleware.add("running")
    until(lambda: launched.status_of("/health/live") == 503, "liveness fails")


def test_an_engine_that_computes_is_live_however_late_its_health_is(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.3", "--probe-timeout=0.2")
    launched.ready()
    launched.set("late")
    until(lambda: "did not answer" in (launched.get("/health")[1]["reason"] or ""), "its health is late")
    _later(launched)
    # A machine that pauses may hide the moves for a moment.
    until(lambda: launched.status_of("/health/live") == 200, "it is live")
    assert launched.get("/health/ready")[0] == 503
    launched.set("still")
    until(lambda: launched.status_of("/health/live") == 503, "liveness fails")


def test_an_engine_that_answers_when_it_is_asked_is_live_whatever_its_gauges_say(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.3")
    launched.ready()
    launched.set("still")
    until((launched.state / "asked").exists, "it is asked for a token")
    _later(launched)
    assert launched.get("/health/live")[0] == 200
    launched.ready()


def test_an_engine_that_says_it_is_dead_is_not_given_the_time_of_a_silent_one(launch: Launch) -> None:
    launched = launch("--stall-seconds=86400")
    launched.ready()
    launched.set("unhealthy")
    until(lambda: launched.status_of("/health/live") == 503, "liveness fails")
    assert launched.get("/health/live")[1]["reason"] == "/health answers 503"


def test_an_engine_that_is_silent_while_it_starts_is_live(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.1", "--probe-timeout=0.1", "--engine-url=http://127.0.0.1:1")
    _later(launched)
    assert launched.get("/health/live")[0] == 200


def test_an_engine_that_ignores_sigterm_stays_draining_and_live(launch: Launch) -> None:
    launched = launch("--stall-seconds=0.1", files=("ignore",))
    launched.ready()
    launched.process.send_signal(signal.SIGTERM)
    until(lambda: launched.signals() == ["SIGTERM"], "the engine is told")
    assert launched.get("/health/live")[0] == 200
    assert launched.get("/health")[1]["status"] == "draining"


def test_a_key_with_a_line_break_at_its_end_serves_and_is_never_told(launch: Launch) -> None:
    launched = launch(VLLM_API_KEY="sekret\n")
    launched.ready()
    assert "sekret" not in str(launched.get("/health"))
    launched.process.send_signal(signal.SIGTERM)
    _, errors = launched.process.communicate(timeout=PATIENCE)
    assert "sekret" not in errors


def test_head_answers_as_get_does_without_a_body(launch: Launch) -> None:
    launched = launch()
    launched.ready()
    for path in ("/health", "/health/ready", "/health/live"):
        assert launched.get(path, "HEAD") == (200, {})


def test_what_the_endpoint_does_not_know_is_json_too(launch: Launch) -> None:
    launched = launch()
    status, body = launched.get("/healthz")
    assert (status, body["paths"]) == (404, ["/health", "/health/ready", "/health/live", "/metrics"])
    status, body = launched.get("/health", "POST")
    assert status == 501
    assert "POST" in body["error"]


def test_variables_stand_in_for_flags_and_a_flag_wins(launch: Launch) -> None:
    launched = launch("--model=other", LLM_SERVING_ENGINE_MODEL=MODEL, LLM_SERVING_ENGINE_STALL_SECONDS="5")
    assert launched.get("/health")[1]["model"] == "other"
    launched = launch(LLM_SERVING_ENGINE_MODEL="third")
    assert launched.get("/health")[1]["model"] == "third"


@pytest.mark.parametrize(
    ("command", "status"), [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], 143)]
)
def test_the_exit_status_is_the_engines(command: list[str], status: int) -> None:
    process = launcher(f"--health-port={free_port()}", "--health-host=127.0.0.1", "--", *command)
    assert _ended(process)[0] == status


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "error: no command to run: give the engine's command line after --, as in -- vllm serve FOLDER"),
        (["--health-port=0", "--", "true"], {}, "error: --health-port '0': it must be a port from 1 to 65535"),
        (
            ["--", "true"],
            {"LLM_SERVING_ENGINE_STALL_SECONDS": "soon"},
            "error: LLM_SERVING_ENGINE_STALL_SECONDS 'soon': it must be a number of seconds above 0",
        ),
        (
            ["--engine-url=https://127.0.0.1", "--", "true"],
            {},
            "error: --engine-url 'https://127.0.0.1': it must look like http://127.0.0.1:8000, without a path",
        ),
        (
            ["--", "true", "--port=vllm"],
            {},
            "error: --port 'vllm' of the engine's command line: it must be a port from 1 to 65535",
        ),
        (["--model=", "--", "true"], {}, "error: --model '': it must not be empty"),
        (["--health-host=a..b", "--", "true"], {}, f"error: --health-host 'a..b': {_NO_HOST}"),
        (["--engine-url=http://a..b:80", "--", "true"], {}, f"error: --engine-url 'http://a..b:80': {_NO_HOST}"),
        (
            ["--", "true", "--host", "a..b"],
            {},
            f"error: --host 'a..b' of the engine's command line: {_NO_HOST}",
        ),
        (["--", "true"], {"VLLM_API_KEY": "se\nkret"}, f"error: VLLM_API_KEY: {_NO_KEY}"),
        (["--", "true", "--api-key=sekr€t"], {}, f"error: --api-key of the engine's command line: {_NO_KEY}"),
        (["--", "true"], {"VLLM_API_KEY": " \n"}, "error: VLLM_API_KEY: it is blank; give a key, or none at all"),
    ],
)
def test_wrong_usage_is_refused_in_one_line(arguments: list[str], variables: dict[str, str], message: str) -> None:
    status, errors = _ended(launcher(*arguments, **variables))
    assert (status, errors.strip()) == (2, message)


def test_a_taken_port_is_refused_before_the_engine_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        mark = tmp_path / "started"
        status, errors = _ended(launcher(f"--health-port={port}", "--health-host=127.0.0.1", "--", "touch", str(mark)))
    assert status == 1
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in errors
    assert not mark.exists()


def test_a_command_that_does_not_exist_is_named() -> None:
    process = launcher(f"--health-port={free_port()}", "--health-host=127.0.0.1", "--", "/nowhere/vllm", "serve")
    status, errors = _ended(process)
    assert (status, errors.strip()) == (
        1,
        "error: /nowhere/vllm: the engine cannot be started: No such file or directory",
    )


def test_it_uses_nothing_but_the_standard_library() -> None:
    sources = sorted((SOURCES / "llm_serving_engine").glob("*.py"))
    assert sources
    imported = {
        match
        for source in sources
        for match in re.findall(r"^(?:from|import) (\w+)", source.read_text(), flags=re.MULTILINE)
    }
    assert imported <= {*sys.stdlib_module_names, "llm_serving_engine"}


def _later(launched: Launched) -> None:
    """Until a reading is too old to be kept, and a look at the engine has had its time."""
    begin = launched.get("/health")[1]["uptime_seconds"]
    until(lambda: launched.get("/health")[1]["uptime_seconds"] > begin + 1.5, "time passes")


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors
