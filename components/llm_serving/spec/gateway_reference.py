"""A Gateway that is there, by its names."""

from llm_serving.arguments import Frozen
from llm_serving.spec.names import NamespaceName, ObjectName


class GatewayReference(Frozen):
    """A Gateway of the Gateway API that somebody else runs."""

    name: ObjectName
    """Its name."""
    namespace: NamespaceName
    """Its namespace. It must let routes in: `allowedRoutes` of its listener."""
    listener: str | None = None
    """The one listener that routes attach to (`sectionName`); left out: all of them."""
