"""What a team's namespace knows of the gateway in front of its models: whose pods come in, and by which ports.

Leaves alone: everything in the gateway's own namespace (``llm_serving.gateway``).
"""

from dataclasses import dataclass

EDGE_HTTP_PORT = 8080
EDGE_HTTPS_PORT = 8443
"""Ports of the proxy's pods that clients use."""

ROUTER_PORT = 8000
ROUTER_METRICS_PORT = 29000
"""Ports of a release's router."""


@dataclass(frozen=True)
class GatewayAccess:
    """The gateway as a team's namespace sees it.

    Attributes:
        namespace: where the gateway runs.
        direct: models whose engines the gateway's proxy asks itself; a router stands before those of all others.
    """

    namespace: str
    direct: tuple[str, ...] = ()
