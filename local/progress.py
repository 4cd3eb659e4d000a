"""A run of ``pulumi up`` as lines that a person follows: one when a component begins to change, one when it is done.

Owns the run, its whole log in a file, and what of the engine's events is shown: errors and warnings always in full.
"""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stacks.engine_events import (
    UNCHANGED,
    Diagnostic,
    Event,
    StepEvent,
    StepState,
    Summary,
    describe_changes,
    read_events,
)

WITH_EVENT_LOG = {"PULUMI_DEBUG_COMMANDS": "true"}
"""Environment in which ``pulumi`` has the flag ``--event-log``; Pulumi's own Automation API uses both."""

TICK_SECONDS = 0.5
QUIET_SECONDS = 30
"""After so long without a line, what runs is named."""

_DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "create-replacement": "replaced",
    "import": "imported",
}
"""What people are told of an operation. The other half of a replacement (``delete-replaced``) is not counted again."""


@dataclass
class _Component:
    """A component of the program with everything below it, or a resource that is in none."""

    title: str
    begun_at: float
    running: dict[str, str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    has_outputs: bool = False
    is_quiet: bool = False
    is_shown: bool = False
    failed: bool = False


class Progress:
    """Turns events of the engine into lines."""

    def __init__(self, write: Callable[[str], None], *, previews: bool) -> None:
        """``write`` takes a line; ``previews``: the run begins with a preview, of which only the sum is shown."""
        self.has_shown_error = False
        self._write = write
        self._previews = previews
        self._components: dict[str, _Component] = {}
        self._parents: dict[str, str] = {}
        self._told: set[str] = set()
        self._last_line = 0.0

    def handle(self, event: Event, now: float) -> None:
        """Show what an event means; ``now`` in seconds."""
        match event:
            case Diagnostic():
                self._diagnose(event, now)
            case Summary():
                if event.is_preview:
                    self._line(f"preview: {describe_changes(event.changes)}", now)
                    self._previews = False
            case StepEvent():
                self._step(event, now)

    def tick(self, now: float) -> None:
        """Time passed: a component is done once it has told its outputs and nothing of it began since the last tick,
        because its children may be registered later than its outputs."""
        for component in list(self._components.values()):
            if component.is_shown and component.has_outputs and not component.running and component.is_quiet:
                self._end(component, now)
            component.is_quiet = True
        running = [name for component in self._components.values() for name in component.running.values()]
        if running and not self._previews and now - self._last_line > QUIET_SECONDS:
            self._line(f"  still at {', '.join(running[:3])}{', ...' if len(running) > 3 else ''}", now)

    def finish(self, now: float) -> None:
        """The run is over."""
        for component in self._components.values():
            if component.is_shown:
                self._end(component, now)

    def _diagnose(self, event: Diagnostic, now: float) -> None:
        text = f"{_title(event.urn)}: {event.message}" if event.urn else event.message
        if event.severity == "debug" or event.ephemeral or text in self._told:
            return
        self._told.add(text)
        self.has_shown_error |= event.severity == "error"
        self._line(text, now)

    def _step(self, step: StepEvent, now: float) -> None:
        if step.parent is not None:
            self._parents[step.urn] = step.parent
        if self._previews or step.type.startswith("pulumi:"):
            return
        top = self._top(step.urn)
        component = self._components.setdefault(top, _Component(_title(top), now))
        component.is_quiet = False
        if step.state is StepState.BEGUN:
            if step.custom:
                component.running[step.urn] = _title(step.urn)
            if step.op not in UNCHANGED and not component.is_shown:
                component.is_shown, component.begun_at = True, now
                self._line(component.title, now)
            return
        component.running.pop(step.urn, None)
        component.has_outputs |= step.urn == top
        if step.state is StepState.FAILED:
            component.failed = True
        elif step.custom and step.op in _DONE:
            component.done[_DONE[step.op]] += 1

    def _top(self, urn: str) -> str:
        """The ancestor right below the stack."""
        while (parent := self._parents.get(urn)) is not None and "::pulumi:pulumi:Stack::" not in parent:
            urn = parent
        return urn

    def _end(self, component: _Component, now: float) -> None:
        component.is_shown = False
        counts = ", ".join(f"{count} {what}" for what, count in component.done.items())
        if component.failed or component.running:
            state = "failed" if component.failed else "not finished"
            counts = f"{state}, {counts}" if counts else state
        self._line(f"{component.title}: {counts or 'done'} ({now - component.begun_at:.0f} s)", now)

    def _line(self, text: str, now: float) -> None:
        self._last_line = now
        self._write(text)


def _title(urn: str) -> str:
    """``NodePool l4``: the last part of a resource's type, and its logical name."""
    return f"{urn.split('::')[2].rpartition(':')[2]} {urn.split('::', 3)[3]}"


def run_with_progress(
    command: Sequence[str], environment: Mapping[str, str], log: Path, *, previews: bool, write: Callable[[str], None]
) -> int:
    """Run ``pulumi up`` and show its progress; its exit status.

    Args:
        command: its command line.
        environment: its environment.
        log: where the whole log goes.
        previews: it begins with a preview.
        write: takes a line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(write, previews=previews)
    with tempfile.TemporaryDirectory(prefix="llm-serving-events-") as folder, log.open("w", encoding="utf-8") as text:
        # A pipe: preview and update each begin a log file anew, and the engine's events need not stay on a disk.
        events = Path(folder) / "events"
        os.mkfifo(events, 0o600)
        pipe = os.open(events, os.O_RDWR | os.O_NONBLOCK)
        try:
            with subprocess.Popen(
                [*command, "--event-log", str(events)],
                env={**environment, **WITH_EVENT_LOG},
                stdout=text,
                stderr=subprocess.STDOUT,
            ) as process:
                # Pulumi hears Ctrl-C itself: it ends in order, and at once the second time.
                interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
                chunks = _chunks(process, pipe)
                try:
                    _follow(chunks, progress)
                finally:
                    # Pulumi waits for whoever reads its events, so an update ends only if they are read to the last,
                    # even where nobody reads its lines any more (`make up | head`).
                    for _ in chunks:
                        pass
                    signal.signal(signal.SIGINT, interrupt)
        finally:
            os.close(pipe)
    progress.finish(time.monotonic())
    if process.returncode and not progress.has_shown_error:
        write(log.read_text(encoding="utf-8").strip())
    write(f"{'error: pulumi failed; ' if process.returncode else ''}whole log: {log}")
    return process.returncode


def _chunks(process: subprocess.Popen[bytes], pipe: int) -> Iterator[bytes]:
    """What comes through a pipe until the process has ended and all of it is read; nothing after each tick without."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            is_over = process.poll() is not None
            if selector.select(0 if is_over else TICK_SECONDS):
                yield os.read(pipe, 1 << 16)
            elif is_over:
                return
            else:
                yield b""


def _follow(chunks: Iterator[bytes], progress: Progress) -> None:
    rest = b""
    last_tick = time.monotonic()
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for event in read_events(line.decode() for line in lines if line.strip()):
            progress.handle(event, time.monotonic())
        if time.monotonic() - last_tick >= TICK_SECONDS:
            last_tick = time.monotonic()
            progress.tick(last_tick)
