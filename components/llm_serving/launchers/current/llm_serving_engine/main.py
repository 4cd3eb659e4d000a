"""``llm-serving-engine``: starts the engine and the health endpoint, and ends as the engine does."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence

from llm_serving_engine import compile_cache
from llm_serving_engine.client import EngineClient
from llm_serving_engine.compile_cache import CacheError
from llm_serving_engine.drain import Drain
from llm_serving_engine.drain_state import VARIABLE, DrainState
from llm_serving_engine.health_monitor import HealthMonitor
from llm_serving_engine.options import OptionError, Options, parse
from llm_serving_engine.process import EngineProcess, StartError
from llm_serving_engine.resource_usage import ResourceUsageReader
from llm_serving_engine.server import HealthServer
from llm_serving_engine.startup_stages import StartupStages
from llm_serving_engine.warm_up import WarmUp

_DRAINED = (signal.SIGTERM, signal.SIGINT)
"""Signals before which running requests may end."""
_FORWARDED = (*_DRAINED, signal.SIGHUP, signal.SIGQUIT)
_USAGE, _FAILED = 2, 1
# Named as text: the middleware belongs to the engine's processes, and this one has no event loop.
_MIDDLEWARE = "--middleware=llm_serving_engine.drain_middleware.DrainMiddleware"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine to its end; its exit status, 128 + number where a signal ended it."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments, os.environ)
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    try:
        drain_state = DrainState() if options.drain_seconds > 0 else None
    except OSError as error:
        print(
            f"error: no folder for temporary files can be written to: {error.strerror or error}; mount one at /tmp, or "
            "switch draining off with --drain-seconds=0",
            file=sys.stderr,
        )
        return _FAILED
    try:
        return _Launch(options, drain_state).run()
    finally:
        if drain_state is not None:
            drain_state.remove()


class _Launch:
    """One run of the engine and of all that watches it."""

    def __init__(self, options: Options, drain_state: DrainState | None) -> None:
        self._options = options
        self._drain_state = drain_state
        self._stages = StartupStages()
        self._client = EngineClient(options.engine_host, options.engine_port, options.api_key)
        warm_up = None if options.warm_up_seconds is None else WarmUp(self._client, options.warm_up_seconds)
        self._monitor = HealthMonitor(
            self._client,
            options.model,
            options.stall_seconds,
            options.probe_timeout,
            stages=self._stages,
            warm_up=warm_up,
            health_path=options.health_path,
            requests=self._running_requests,
            on_ready=self._on_ready,
            on_failed_start=self._on_failed_start,
        )
        self._engine = EngineProcess(*_engine(options, drain_state), signals=_FORWARDED)
        self._signals: list[int] = []
        self._stopping = False
        self._draining = False
        self._end_status: int | None = None
        """Status of a run that the launcher ends by itself."""

    def run(self) -> int:
        """The exit status."""
        options = self._options
        reader = ResourceUsageReader(self._client)
        try:
            server = HealthServer(
                options.health_host, options.health_port, self._monitor, reader, self._stages, self._drain_state
            )
        except OSError as error:
            where = f"{options.health_host}:{options.health_port}"
            print(
                f"error: the health endpoint cannot listen at {where}: {error.strerror or error}; choose another "
                "address with --health-host and --health-port",
                file=sys.stderr,
            )
            return _FAILED
        if options.compile_cache is not None:
            self._restore()
        try:
            # Threads come after the engine: it is forked from a process that has only one.
            self._engine.start()
        except StartError as error:
            print(f"error: {error}", file=sys.stderr)
            return _FAILED
        server.engine_pid = self._engine.pid
        end = threading.Event()
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        probing = (options.probe_seconds, end)
        threading.Thread(target=self._monitor.keep_probing, args=probing, name="monitor", daemon=True).start()
        status = self._engine.wait(self._on_signal)
        self._monitor.ended(status)
        left = self._engine.sweep()
        end.set()
        after = f" after {signal.Signals(self._signals[0]).name}" if self._signals else ""
        rest = f"; processes that it left and that were killed: {left}" if left else ""
        _say(f"the engine ended with status {status}{after}{rest}")
        if self._end_status is None:
            # A Job that was told to stop before the engine was ready has not done what it is for.
            return status or (_FAILED if self._options.exit_when_ready else 0)
        return self._save() if self._end_status == 0 else self._end_status

    def _on_signal(self, number: int) -> None:
        """Pass a signal on: at once, or when the requests that run have ended."""
        self._signals.append(number)
        if number in _DRAINED and self._is_held(number):
            return
        self._monitor.drain()
        self._engine.signal(number)

    def _is_held(self, number: int) -> bool:
        """Whether the engine hears of a signal only when its requests have ended; the first one begins that."""
        if not self._stopping:
            self._stopping = True
            return self._drain_before(number)
        # A container is told to stop again when its pod's grace period gets shorter, which breaks no promise.
        return self._draining

    def _drain_before(self, number: int) -> bool:
        """Begin to drain, if there is a middleware that does it."""
        if self._drain_state is None or not self._drain_state.attached:
            return False
        drain = Drain(self._drain_state, self._options.drain_seconds, _say)
        drain.close()
        self._monitor.drain()  # now: who reads "draining" finds new requests refused
        self._draining = True  # before the thread, which may be over at once
        threading.Thread(target=self._stop_after, args=(drain, number), name="drain", daemon=True).start()
        return True

    def _stop_after(self, drain: Drain, number: int) -> None:
        try:
            drain.wait()
        except Exception as error:
            _say(f"draining failed, the engine is told to stop now: {type(error).__name__}: {error}")
        finally:
            self._draining = False
            _signal_self(number)

    def _running_requests(self) -> int:
        return 0 if self._drain_state is None else self._drain_state.counts().running

    def _on_ready(self) -> None:
        _say(f"ready after {self._stages.describe()}")
        if self._options.exit_when_ready and not self._stopping:
            self._stop(0)

    def _on_failed_start(self, reason: str) -> None:
        _say(f"the start failed: {reason}")
        self._stop(_FAILED)

    def _stop(self, status: int) -> None:
        """End the engine, for which nobody has to wait."""
        self._end_status = status
        self._stopping = True
        _signal_self(signal.SIGTERM)

    def _restore(self) -> None:
        folder = self._options.compile_cache
        assert folder is not None
        try:
            size = compile_cache.restore(folder, compile_cache.cache_root(os.environ))
        except CacheError as error:
            _say(f"{error}; the engine starts without it, which takes longer")
        else:
            self._stages.ended("compile_cache")
            _say(f"compile cache: {f'{size} bytes' if size is not None else 'nothing was saved yet'} in {folder}")

    def _save(self) -> int:
        folder = self._options.save_compile_cache
        if folder is None:
            return 0
        try:
            size = compile_cache.save(compile_cache.cache_root(os.environ), folder)
        except CacheError as error:
            _say(f"error: {error}")
            return _FAILED
        _say(f"compile cache: {size} bytes saved to {folder}")
        return 0


def _engine(options: Options, drain_state: DrainState | None) -> tuple[list[str], dict[str, str]]:
    """The engine's command line and the variables that it gets besides ours."""
    command, variables = list(options.command), dict[str, str]()
    if drain_state is not None:
        command.append(_MIDDLEWARE)
        variables[VARIABLE] = str(drain_state.folder)
    if options.compile_cache is not None or options.save_compile_cache is not None:
        variables[compile_cache.VARIABLE] = str(compile_cache.cache_root(os.environ))
    return command, variables


def _signal_self(number: int) -> None:
    """Have the main thread pass a signal on: it waits for the engine, and alone knows that its number is still its."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, number)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a log that is closed changes nothing
        print(f"llm-serving-engine: {text}", file=sys.stderr, flush=True)
