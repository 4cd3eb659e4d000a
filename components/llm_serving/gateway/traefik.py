"""Traefik as the proxy runs it: its arguments, its middlewares, and what it may read of the cluster.

Version 3.7.15; every option, and what it does without a right or a definition, was tried with the real program
(``tests/engine/gateway``). Options: https://doc.traefik.io/traefik/v3.7/reference/install-configuration/.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from llm_serving.gateway.names import MODELS_PORT, PROXY_METRICS_PORT
from llm_serving.serving.labels import COMPONENT_GATEWAY_PROXY, LABEL_COMPONENT

CONTROLLER = "traefik.io/gateway-controller"
"""Name by which a GatewayClass chooses Traefik."""
GROUP = "gateway.networking.k8s.io"

EDGE, CHALLENGES, MODELS, OPERATIONS = "edge", "challenges", "models", "traefik"
"""Entry points. The last one is where Traefik itself puts ping and metrics."""
PING_PATH = "/ping"
PING_SERVICE = {"group": "traefik.io", "kind": "TraefikService", "name": "ping@internal", "port": PROXY_METRICS_PORT}
"""Traefik's own answer to ``/ping`` as the back end of a route: no object of the cluster has this kind and name."""

MIDDLEWARES_FOLDER = "/etc/llm-serving/proxy"
MIDDLEWARES_FILE = "middlewares.yaml"

ACCEPT_SECONDS = 10
"""How long a pod that ends still takes requests: until every client knows that it goes."""
_DIAL_SECONDS = 3
"""Until a back end that does not answer the connection counts as failed; Traefik's own default is 30."""
_ATTEMPTS = 3
"""Pods that are asked until one takes the request, the first included."""
_READ_SECONDS = 60
"""Until a request must have arrived whole. The answer is not limited: streams are as long as they are."""
_IDLE_SECONDS = 180
_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True)
class EdgeListener:
    """What clients reach.

    Attributes:
        port: of the pods; that of the Gateway's listener too, by which Traefik finds the entry point.
        tls: it speaks TLS.
        challenge_port: where an authority asks without TLS whether the name is ours; ``None`` where none does.
    """

    port: int
    tls: bool
    challenge_port: int | None = None

    @property
    def ports(self) -> dict[str, int]:
        """Its entry points, by name."""
        return {EDGE: self.port, **({} if self.challenge_port is None else {CHALLENGES: self.challenge_port})}


def arguments(
    edge: EdgeListener | None, namespace: str, team_namespaces: Sequence[str], longest_request_seconds: int
) -> list[str]:
    """The command line.

    Args:
        edge: ``None`` where another Gateway is the edge.
        namespace: its own, whose routes alone may lead to Traefik itself.
        team_namespaces: those whose routes, Services and Secrets it reads, too. One without its Role keeps all routes
            out.
        longest_request_seconds: how long an answer may take; a pod that ends waits for those that have begun.
    """
    kubernetes = "--providers.kubernetesgateway"
    return [
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=INFO",
        "--log.format=json",
        *(
            option
            for entry_point, port in ({} if edge is None else edge.ports).items()
            for option in (
                *_entry_point(entry_point, port, longest_request_seconds),
                f"--entrypoints.{entry_point}.http.middlewares=security-headers@file,another-pod@file",
            )
        ),
        *_entry_point(MODELS, MODELS_PORT, longest_request_seconds),
        f"--entrypoints.{OPERATIONS}.address=:{PROXY_METRICS_PORT}",
        f"--entrypoints.{OPERATIONS}.http.aliasheadersstrategy=delete",
        "--ping=true",
        "--metrics.prometheus=true",
        # Of each back end: which release an error counts against.
        "--metrics.prometheus.addrouterslabels=true",
        f"--serverstransport.forwardingtimeouts.dialtimeout={_DIAL_SECONDS}s",
        *([] if edge is None else [f"--providers.file.filename={MIDDLEWARES_FOLDER}/{MIDDLEWARES_FILE}"]),
        f"{kubernetes}=true",
        f"{kubernetes}.namespaces={','.join(dict.fromkeys([namespace, *team_namespaces]))}",
        # Another Traefik of the cluster has GatewayClasses of the same controller.
        f"{kubernetes}.labelselector={LABEL_COMPONENT}={COMPONENT_GATEWAY_PROXY}",
        f"{kubernetes}.crossprovidernamespaces={namespace}",
    ]


def _entry_point(name: str, port: int, longest_request_seconds: int) -> list[str]:
    prefix = f"--entrypoints.{name}"
    return [
        f"{prefix}.address=:{port}",
        f"{prefix}.transport.respondingtimeouts.readtimeout={_READ_SECONDS}s",
        f"{prefix}.transport.respondingtimeouts.writetimeout=0s",
        f"{prefix}.transport.respondingtimeouts.idletimeout={_IDLE_SECONDS}s",
        f"{prefix}.transport.lifecycle.requestacceptgracetimeout={ACCEPT_SECONDS}s",
        f"{prefix}.transport.lifecycle.gracetimeout={longest_request_seconds}s",
        f"{prefix}.http.maxheaderbytes={_HEADER_BYTES}",
        # `X_Llm_Release` would be read as `X-Llm-Release` by whoever makes variables of headers.
        f"{prefix}.http.aliasheadersstrategy=delete",
        # A path that two programs read differently would pass the list of those that are allowed.
        *(f"{prefix}.http.encodedcharacters.allowencoded{character}=false" for character in _ENCODED),
    ]


_ENCODED = ("slash", "backslash", "nullcharacter", "semicolon", "percent", "questionmark", "hash")


def middlewares(edge: EdgeListener) -> str:
    """The file of middlewares that every request to the edge passes.

    A pod of LiteLLM that died is an endpoint for a while: what it refuses goes to another.

    None limits the size of a body, which LiteLLM's checks do: Traefik's own limit is part of its buffering, which keeps
    an answer until it is whole, and what turns that off cannot be said in a file.
    """
    headers = {
        "contentTypeNosniff": True,
        "frameDeny": True,
        "contentSecurityPolicy": "default-src 'none'; frame-ancestors 'none'",
        "referrerPolicy": "no-referrer",
        # No proxy on the way keeps an answer; and which program answers is nobody's business.
        "customResponseHeaders": {"Cache-Control": "no-store", "Server": ""},
        **({"stsSeconds": 31_536_000} if edge.tls else {}),
    }
    # Only what no pod took is sent again, POST too: not what was written to one that then died (tried with 3.7.15).
    retry = {"attempts": _ATTEMPTS, "retryNonIdempotentMethod": True}
    made = {"security-headers": {"headers": headers}, "another-pod": {"retry": retry}}
    return json.dumps({"http": {"middlewares": made}}, indent=2) + "\n"


@dataclass(frozen=True)
class Permission:
    """What Traefik does with resources of an API group."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


_WATCH = ("list", "watch")

CLUSTER_PERMISSIONS = (
    Permission("", ("namespaces",), _WATCH),
    Permission(GROUP, ("gatewayclasses",), _WATCH),
    Permission(GROUP, ("gatewayclasses/status",), ("update",)),
)
NAMESPACE_PERMISSIONS = (
    # It never begins to serve routes without any of these, those that we have none of included.
    Permission("", ("configmaps", "secrets", "services"), _WATCH),
    Permission("discovery.k8s.io", ("endpointslices",), _WATCH),
    Permission(
        GROUP,
        ("backendtlspolicies", "gateways", "grpcroutes", "httproutes", "referencegrants", "tlsroutes"),
        _WATCH,
    ),
    Permission(GROUP, ("gateways/status", "httproutes/status"), ("update",)),
)
