"""``llm-serving-engine``: starts the engine and the health endpoint, and ends as the engine does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from llm_serving_engine.client import EngineClient
from llm_serving_engine.figures import Reader
from llm_serving_engine.options import OptionError, Options, parse
from llm_serving_engine.process import EngineProcess, StartError
from llm_serving_engine.server import HealthServer
from llm_serving_engine.watch import Watch

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_USAGE, _FAILED = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine to its end; its exit status, 128 + number where a signal ended it."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments, os.environ)
    except OptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    return _run(options)


def _run(options: Options) -> int:
    begin = time.monotonic()
    client = EngineClient(options.engine_host, options.engine_port, options.api_key)
    watch = Watch(
        client,
        options.model,
        options.stall_seconds,
        options.probe_timeout,
        on_ready=lambda: _say(f"ready after {time.monotonic() - begin:.1f} s"),
    )
    try:
        server = HealthServer(options.health_host, options.health_port, watch, Reader(client))
    except OSError as error:
        where = f"{options.health_host}:{options.health_port}"
        print(
            f"error: the health endpoint cannot listen at {where}: {error.strerror or error}; choose another address "
            "with --health-host and --health-port",
            file=sys.stderr,
        )
        return _FAILED
    engine = EngineProcess(options.command)
    told: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        told.append(number)
        watch.drain()
        engine.signal(number)

    for number in _FORWARDED:
        signal.signal(number, pass_on)
    try:
        # Threads come after the engine: it is forked from a process that has only one.
        engine.start()
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    server.engine_pid = engine.pid
    end = threading.Event()
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    threading.Thread(target=watch.keep_looking, args=(options.probe_seconds, end), name="watch", daemon=True).start()
    status = engine.wait()
    watch.ended(status)
    left = engine.sweep()
    end.set()
    after = f" after {signal.Signals(told[0]).name}" if told else ""
    rest = f"; processes that it left and that were killed: {left}" if left else ""
    _say(f"the engine ended with status {status}{after}{rest}")
    return status


def _say(text: str) -> None:
    print(f"llm-serving-engine: {text}", file=sys.stderr, flush=True)
