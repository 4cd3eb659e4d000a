"""A run of the engine as lines: by component, with errors and warnings in full and the whole log in a file."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from local.progress import Progress, run_with_progress
from stacks.engine_events import read_events

STACK = "urn:pulumi:dev::llm::pulumi:pulumi:Stack::llm-dev"
NETWORK = "urn:pulumi:dev::llm::llm-serving:index:GcpNetwork::llm-dev"
SUBNET = "urn:pulumi:dev::llm::llm-serving:index:GcpNetwork$gcp:compute/subnetwork:Subnetwork::nodes"
ROUTER = "urn:pulumi:dev::llm::llm-serving:index:GcpNetwork$gcp:compute/router:Router::router"


def step(state: str, urn: str, parent: str, op: str = "create") -> dict[str, Any]:
    return {state: {"metadata": {"op": op, "urn": urn, "new": {"parent": parent, "custom": "$" in urn}}}}


def begun(urn: str, parent: str = NETWORK, op: str = "create") -> dict[str, Any]:
    return step("resourcePreEvent", urn, parent, op)


def done(urn: str, parent: str = NETWORK, op: str = "create") -> dict[str, Any]:
    return step("resOutputsEvent", urn, parent, op)


def said(severity: str, message: str, urn: str = "", **more: Any) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": severity, "prefix": f"{severity}: ", "message": message, "urn": urn} | more}


def ended(op: str = "create", *, preview: bool = False) -> dict[str, Any]:
    return {"summaryEvent": {"isPreview": preview, "resourceChanges": {op: 3}}}


class Run:
    """Lines of a progress, at times that the test chooses."""

    def __init__(self, *, previews: bool = False) -> None:
        self.lines: list[str] = []
        self.progress = Progress(self.lines.append, previews=previews)

    def tell(self, now: float, *events: dict[str, Any]) -> list[str]:
        """The lines that these events lead to."""
        before = len(self.lines)
        for event in read_events(map(json.dumps, events)):
            self.progress.handle(event, now)
        return self.lines[before:]

    def tick(self, now: float) -> list[str]:
        before = len(self.lines)
        self.progress.tick(now)
        return self.lines[before:]


def test_a_component_is_a_line_when_it_begins_and_a_line_when_all_of_it_is_done() -> None:
    run = Run()
    assert run.tell(0, begun(NETWORK, STACK), begun(SUBNET), begun(ROUTER), done(SUBNET)) == ["GcpNetwork llm-dev"]
    assert run.tell(9, done(ROUTER), done(NETWORK, STACK)) == []
    assert run.tick(10) == []
    # A child that is registered after the outputs of its component keeps it open.
    assert run.tell(10, begun(SUBNET)) == []
    assert run.tick(11) == run.tick(12) == []
    run.tell(12, done(SUBNET))
    assert run.tick(12) == []
    assert run.tick(13) == ["GcpNetwork llm-dev: 3 created (13 s)"]
    run.progress.finish(14)
    assert len(run.lines) == 2


def test_what_stays_as_it_is_has_no_line() -> None:
    run = Run()
    events = [begun(NETWORK, STACK, "same"), begun(SUBNET, op="same"), done(SUBNET, op="same")]
    assert run.tell(0, *events, done(NETWORK, STACK, "same")) == []
    run.progress.finish(9)
    assert run.lines == []


def test_a_replacement_counts_once() -> None:
    run = Run()
    for op in ("create-replacement", "replace", "delete-replaced"):
        run.tell(0, begun(SUBNET, op=op), done(SUBNET, op=op))
    run.tell(1, begun(NETWORK, STACK, "same"), done(NETWORK, STACK, "same"))
    run.progress.finish(2)
    assert run.lines[-1].endswith(": 1 replaced (2 s)")


def test_of_the_preview_before_an_update_only_the_sum_is_shown() -> None:
    run = Run(previews=True)
    assert run.tell(0, begun(NETWORK, STACK), begun(SUBNET), done(SUBNET)) == []
    assert run.tell(1, ended(preview=True)) == ["preview: 3 to create"]
    assert run.tell(2, begun(NETWORK, STACK), ended()) == ["GcpNetwork llm-dev"]


def test_errors_and_warnings_are_shown_in_full_once_and_what_is_for_debugging_is_not() -> None:
    run = Run(previews=True)
    long = "a line\nand another one " + 300 * "x"
    assert run.tell(0, said("warning", long), said("debug", "noise"), said("info", "1 %", ephemeral=True)) == [
        f"warning: {long}"
    ]
    assert run.tell(1, said("warning", long)) == []
    error = said("error", "quota", SUBNET)
    assert run.tell(2, error) == ["Subnetwork nodes: error: quota"]
    assert run.tell(3, error, said("error", "quota", ROUTER)) == ["Router router: error: quota"]
    assert run.progress.has_shown_error


def test_a_component_that_failed_or_was_not_finished_says_so() -> None:
    run = Run()
    run.tell(0, begun(NETWORK, STACK), begun(SUBNET), begun(ROUTER), done(SUBNET))
    run.tell(1, step("resOpFailedEvent", ROUTER, NETWORK))
    run.progress.finish(2)
    assert run.lines[-1] == "GcpNetwork llm-dev: failed, 1 created (2 s)"
    other = Run()
    other.tell(0, begun(NETWORK, STACK), begun(SUBNET))
    other.progress.finish(2)
    assert other.lines[-1] == "GcpNetwork llm-dev: not finished (2 s)"


def test_what_takes_long_is_named_from_time_to_time() -> None:
    run = Run()
    run.tell(0, begun(NETWORK, STACK), begun(SUBNET))
    assert run.tick(20) == []
    assert run.tick(31) == ["  still at Subnetwork nodes"]
    assert run.tick(40) == []


def pulumi(folder: Path, body: str) -> list[str]:
    """A program that is run as ``pulumi`` is; it finds the path of the event log behind its last argument's name."""
    program = folder / "pulumi.py"
    program.write_text(f"import json, sys\nlog = sys.argv[sys.argv.index('--event-log') + 1]\n{body}")
    return [sys.executable, str(program)]


def test_the_whole_log_is_in_a_file_that_is_named_and_events_are_read_to_the_last(tmp_path: Path) -> None:
    events = [begun(NETWORK, STACK), *(event for _ in range(2000) for event in (begun(SUBNET), done(SUBNET)))]
    # Preview and update of one run each begin the log anew.
    body = f"""
print("line of the engine")
for events in ({[ended(preview=True)]!r}, {events!r}):
    with open(log, "w") as file:
        file.writelines(json.dumps(event) + "\\n" for event in events)
"""
    lines: list[str] = []
    log = tmp_path / "logs" / "dev-up.log"
    assert run_with_progress(pulumi(tmp_path, body), {}, log, previews=True, write=lines.append) == 0
    assert lines[:2] == ["preview: 3 to create", "GcpNetwork llm-dev"]
    assert "2000 created" in lines[-2]
    assert lines[-1] == f"whole log: {log}"
    assert log.read_text() == "line of the engine\n"


@pytest.mark.parametrize("told", [True, False])
def test_a_failure_shows_its_error_and_names_the_log(tmp_path: Path, told: bool) -> None:
    events = [said("error", "the quota is too small", SUBNET)] if told else []
    body = f"""
print("error: unknown flag: --no-such-flag", file=sys.stderr)
with open(log, "w") as file:
    file.writelines(json.dumps(event) + "\\n" for event in {events!r})
sys.exit(3)
"""
    lines: list[str] = []
    assert run_with_progress(pulumi(tmp_path, body), {}, tmp_path / "log", previews=False, write=lines.append) == 3
    assert ("the quota is too small" if told else "unknown flag") in lines[0]
    assert lines[-1] == f"error: pulumi failed; whole log: {tmp_path / 'log'}"


def test_an_update_goes_on_to_its_end_where_nobody_reads_its_lines(tmp_path: Path) -> None:
    """As `make up | head` has it. The alarm ends a program whose events nobody takes."""
    events = [said("info", f"{number} {100 * 'x'}") for number in range(3000)]
    body = f"""
import signal
signal.alarm(60)
with open(log, "w") as file:
    file.writelines(json.dumps(event) + "\\n" for event in {events!r})
print("the end")
"""

    def write(line: str) -> None:
        raise BrokenPipeError(line)

    log = tmp_path / "log"
    with pytest.raises(BrokenPipeError):
        run_with_progress(pulumi(tmp_path, body), {}, log, previews=False, write=write)
    assert log.read_text() == "the end\n"
