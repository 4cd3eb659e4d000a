"""What a set-up prints while it works, and commands whose output goes to a log."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import short

_LINES_SHOWN = 20
_HEARTBEAT_S = 15.0
_CLEAR_LINE = "\r\033[K"


def elapsed(seconds: float) -> str:
    """Return `7s` or `2m05s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class Progress:
    """Lines of the form `[3/7] etcd 3.6.15: ...`, with a heartbeat under them."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total = total
        self._step = 0
        self._name = ""
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()

    def step(self, name: str) -> None:
        """Go on to the next tool."""
        self._step += 1
        self._name = name

    def say(self, text: str) -> None:
        """Print a line about the current tool."""
        self._write(f"[{self._step}/{self._total}] {self._name}: {text}\n")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        doing: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        to_the_end: bool = False,
    ) -> None:
        """Run a command with its output in `log`; raise SetupError with the log's end if it fails.

        A set-up that is stopped ends the command; with `to_the_end` it waits for it instead.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with log.open("w") as output, contextlib.ExitStack() as start:
            start.enter_context(signals_held())
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
            try:
                start.close()
                self._wait(process, started)
            except BaseException:
                if to_the_end:
                    process.wait()
                else:
                    _end(process)
                raise
        if process.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
            raise SetupError(
                f"{self._name}: {doing} failed ({_how_it_ended(process.returncode)}). "
                f"Its last lines, from {short(log)}:\n{tail}"
            )

    def _wait(self, process: subprocess.Popen[bytes], started: float) -> None:
        every = 1.0 if self._in_place else _HEARTBEAT_S
        next_beat = started + every
        while True:
            try:
                process.wait(timeout=max(0.0, next_beat - time.monotonic()))
                break
            except subprocess.TimeoutExpired:
                next_beat += every
                text = f"      {self._name}: {elapsed(time.monotonic() - started)} so far"
                self._write(f"\r{text}" if self._in_place else f"{text}\n")
        if self._in_place:
            self._write(_CLEAR_LINE)

    def _write(self, text: str) -> None:
        print(text, end="", file=self._stream, flush=True)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Keep SIGTERM and SIGINT until the end of the block: one that ends ``Popen`` half-way leaves a process that nobody
    knows of, and on a busy machine that process has long begun."""
    came: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and the compilers that it started: they share a session of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
            return


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
    return f"ended by {signal.Signals(-code).name}{hint}"
