"""Inference engines, one module each."""

from llm_serving.serving.engines.engine import Engine, GroupCommand, adapter_folder
from llm_serving.serving.engines.sglang import Sglang
from llm_serving.serving.engines.tgi import Tgi
from llm_serving.serving.engines.triton import Triton
from llm_serving.serving.engines.vllm import Vllm
from llm_serving.spec import EngineName

__all__ = ["Engine", "GroupCommand", "adapter_folder", "engine"]

_ENGINES: dict[EngineName, Engine] = {adapter.name: adapter for adapter in (Vllm(), Sglang(), Tgi(), Triton())}


def engine(name: EngineName) -> Engine:
    """The adapter of an engine. Every name that a release can hold has one."""
    return _ENGINES[name]
