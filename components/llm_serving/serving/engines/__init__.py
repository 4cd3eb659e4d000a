"""Inference engines, one module each."""

from llm_serving.serving.engines.engine import (
    EngineRequest,
    GroupCommand,
    InferenceEngine,
    adapter_folder,
)
from llm_serving.serving.engines.sglang import Sglang
from llm_serving.serving.engines.tgi import Tgi
from llm_serving.serving.engines.triton import Triton
from llm_serving.serving.engines.vllm import Vllm
from llm_serving.spec import EngineName

__all__ = ["EngineRequest", "GroupCommand", "InferenceEngine", "adapter_folder", "engine"]

_ENGINES: dict[EngineName, InferenceEngine] = {adapter.name: adapter for adapter in (Vllm(), Sglang(), Tgi(), Triton())}


def engine(name: EngineName) -> InferenceEngine:
    """The adapter of an engine. Every name that a release can hold has one."""
    return _ENGINES[name]
