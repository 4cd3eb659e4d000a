"""What runs on a cluster, whichever cloud it is on: namespaces of teams, weights in the cache, models that answer."""

from llm_serving.serving.loader import ModelLoader, ModelLoaderArgs
from llm_serving.serving.model_service import ModelService, ModelServiceArgs
from llm_serving.serving.namespace import TeamNamespace, TeamNamespaceArgs

__all__ = [
    "ModelLoader",
    "ModelLoaderArgs",
    "ModelService",
    "ModelServiceArgs",
    "TeamNamespace",
    "TeamNamespaceArgs",
]
