"""What runs on a cluster, whichever cloud it is on: namespaces of teams, models that answer."""

from llm_serving.serving.model_service import ModelService, ModelServiceArgs
from llm_serving.serving.namespace import TeamNamespace, TeamNamespaceArgs

__all__ = ["ModelService", "ModelServiceArgs", "TeamNamespace", "TeamNamespaceArgs"]
