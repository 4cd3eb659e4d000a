"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class GatewayReferenceArgs(TypedDict):
    """A Gateway of the Gateway API that somebody else runs."""

    name: str
    """Its name."""
    namespace: str
    """Its namespace. It must let routes in: `allowedRoutes` of its listener."""
    listener: NotRequired[str]
    """The one listener that routes attach to (`sectionName`); left out: all of them."""
