"""Parts of vLLM's own start, which it tells in its log alone: weights, compilation, graphs.

A plugin of vLLM's (entry point ``vllm.general_plugins``), which runs in each of its processes and listens to its
logger: to the constant texts of messages and the numbers given with them, so that no line is parsed. The numbers go to
the launcher through files in the folder of ``drain_state``. The texts are those of vLLM 0.32
(model_loader/default_loader.py, v1/engine/core.py, v1/worker/gpu_model_runner.py); with another version a part may be
missing, and nothing else happens.
"""

import contextlib
import logging
import os
from pathlib import Path

from llm_serving_engine.drain_state import VARIABLE

_PREFIX = "milestone-"
_MESSAGES = (
    ("Loading weights took ", 0, "weights"),
    ("init engine (profile, create kv cache, warmup model) took ", 0, "initialization"),
    ("init engine (profile, create kv cache, warmup model) took %.2f s (compilation:", 1, "compilation"),
    ("Graph capturing finished in ", 0, "graphs"),
)
"""Start of a message's text, index of the number of seconds among its arguments, name of the part."""


class StageLogHandler(logging.Handler):
    """Writes down what a process tells about its start."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        """Never fails: it runs where the engine logs."""
        with contextlib.suppress(Exception):
            arguments = record.args if isinstance(record.args, tuple) else ()
            for text, index, part in _MESSAGES:
                if str(record.msg).startswith(text):
                    seconds = float(str(arguments[index]))
                    (self._folder / f"{_PREFIX}{part}-{os.getpid()}").write_text(f"{seconds:.3f}")


def register() -> None:
    """What vLLM calls in each of its processes, more than once in some."""
    folder = os.environ.get(VARIABLE)
    logger = logging.getLogger("vllm")
    if folder and not any(isinstance(handler, StageLogHandler) for handler in logger.handlers):
        logger.addHandler(StageLogHandler(Path(folder)))


def read(folder: Path) -> dict[str, float]:
    """Part of the start -> seconds; those of the slowest process where several told."""
    seconds: dict[str, float] = {}
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        part = path.name.removeprefix(_PREFIX).rpartition("-")[0]
        with contextlib.suppress(OSError, ValueError):
            seconds[part] = max(seconds.get(part, 0.0), float(path.read_text()))
    return seconds
