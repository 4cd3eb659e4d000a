"""Inference engines, one module each."""

from llm_serving.serving.engines.engine import Engine, EngineMetrics
from llm_serving.serving.engines.vllm import Vllm
from llm_serving.spec import EngineName

__all__ = ["Engine", "EngineMetrics", "engine"]

_ENGINES: dict[EngineName, Engine] = {EngineName.VLLM: Vllm()}


def engine(name: EngineName) -> Engine:
    """The adapter of an engine. Every name that a release can hold has one."""
    return _ENGINES[name]
