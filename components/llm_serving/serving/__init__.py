"""What runs on a cluster, whichever cloud it is on: namespaces of teams, weights in the cache, models that answer."""

from llm_serving.serving.compile_cache import CompileCache, CompileCacheArgs
from llm_serving.serving.loader import ModelLoader, ModelLoaderArgs
from llm_serving.serving.model_service import ModelService, ModelServiceArgs
from llm_serving.serving.namespace import TeamNamespace, TeamNamespaceArgs
from llm_serving.serving.priorities import PriorityClasses, PriorityClassesArgs
from llm_serving.serving.quantization import QuantizationJob, QuantizationJobArgs

__all__ = [
    "CompileCache",
    "CompileCacheArgs",
    "ModelLoader",
    "ModelLoaderArgs",
    "ModelService",
    "ModelServiceArgs",
    "PriorityClasses",
    "PriorityClassesArgs",
    "QuantizationJob",
    "QuantizationJobArgs",
    "TeamNamespace",
    "TeamNamespaceArgs",
]
