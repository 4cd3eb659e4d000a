"""Commands that take minutes: their output goes to a log, people get a line now and then, and a time-out ends them.

A command runs in a session of its own and is killed with its children when it takes too long, when this process is
interrupted, and, where the kernel can do that, when this process is killed.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.cluster.errors import last_lines, with_log
from local.cluster.processes import dies_with_parent
from stacks.images import ImageError

Say = Callable[[str], None]
"""Prints a line of progress."""

_HEARTBEAT_S = 15.0
_GRACE_S = 5.0
_LINES = 20


def run_logged(
    command: Sequence[str],
    *,
    doing: str,
    log: Path,
    timeout_s: float,
    say: Say,
    environment: Mapping[str, str] | None = None,
    append: bool = False,
) -> None:
    """Run a command to its end.

    Args:
        command: program and arguments.
        doing: what it does, for messages ("the build of vllm").
        log: where its output goes; what was there is replaced unless ``append``.
        timeout_s: seconds after which it is killed.
        say: gets a line with the log's last one every quarter of a minute.
        environment: its whole environment; this process's by default.
        append: keep what the log holds already.

    Raises:
        ImageError: it failed or took too long; the message ends with the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("ab" if append else "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=dies_with_parent(),
        )
        try:
            status = _wait(process, started, timeout_s, doing, log, say)
        except BaseException:
            _kill(process)
            raise
    if status is None:
        _kill(process)
        raise ImageError(with_log(f"{doing} took longer than {elapsed(timeout_s)} and was ended", log, _LINES))
    if status != 0:
        raise ImageError(with_log(f"{doing} failed (exit status {status})", log, _LINES))


def output_of(
    command: Sequence[str], *, doing: str, timeout_s: float = 60, environment: Mapping[str, str] | None = None
) -> str:
    """What a short command prints.

    Raises:
        ImageError: it failed; the message holds what it said.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{doing} took longer than {elapsed(timeout_s)} and was ended") from error
    if done.returncode != 0:
        raise ImageError(
            f"{doing} failed: {done.stderr.strip() or done.stdout.strip() or f'exit status {done.returncode}'}"
        )
    return done.stdout


def elapsed(seconds: float) -> str:
    """``7s`` or ``2m05s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _wait(
    process: subprocess.Popen[bytes], started: float, timeout_s: float, doing: str, log: Path, say: Say
) -> int | None:
    """The exit status; ``None`` after the time-out."""
    while True:
        left = started + timeout_s - time.monotonic()
        try:
            return process.wait(max(0.0, min(_HEARTBEAT_S, left)))
        except subprocess.TimeoutExpired:
            if left <= _HEARTBEAT_S and time.monotonic() >= started + timeout_s:
                return None
            last = last_lines(log, 1)
            now = f": {last[0].strip()[:80]}" if last else ""
            say(f"{doing} goes on ({elapsed(time.monotonic() - started)}){now}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return
