"""The Gateway API proxy: what clients reach, and what LiteLLM reaches the releases of models by.

Owns the proxy's pods (Traefik), what they may read, the GatewayClass, the Gateways ``edge`` and ``models`` with their
Services, and the route of the paths that clients may use. With Gateways of somebody else it owns that route, and of the
others what is not theirs. Leaves alone: the namespace and its network policies, the definitions of the Gateway API
(an add-on), certificates, and the routes of models (``routes``).
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apiextensions, core, meta
from pydantic import Field, model_validator

from llm_serving.addons.arguments import AddonTolerationArgs
from llm_serving.component import Frozen, child, token, validated
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.gateway import edge_route, traefik
from llm_serving.gateway.arguments import GatewayReferenceArgs
from llm_serving.gateway.names import (
    EDGE_GATEWAY,
    EDGE_HTTP_LISTENER,
    EDGE_HTTPS_LISTENER,
    EDGE_SERVICE,
    EDGE_SERVICE_HTTP_PORT,
    EDGE_SERVICE_HTTPS_PORT,
    LITELLM,
    LITELLM_PORT,
    MODELS_PORT,
    MODELS_SERVICE,
)
from llm_serving.gateway.proxy_pods import ProxyPods, register_pods
from llm_serving.serving.arguments import ImagePullArgs
from llm_serving.serving.gateway_access import EDGE_HTTP_PORT, EDGE_HTTPS_PORT
from llm_serving.serving.labels import COMPONENT_GATEWAY_PROXY, LABEL_COMPONENT, gateway_labels
from llm_serving.spec import GatewayReference, ImagePullSpec, Toleration
from llm_serving.spec.kubernetes import ImageName
from llm_serving.spec.names import DnsLabel, NamespaceName, ObjectName, PositiveCount, SecretName
from llm_serving.spec.network import Cidr

API_VERSION = f"{traefik.GROUP}/v1"


class GatewayProxyArgs(TypedDict):
    """Arguments of `GatewayProxy`."""

    namespace: pulumi.Input[str]
    """Namespace of the gateway."""
    team_namespaces: dict[str, pulumi.Input[str]]
    """Namespaces of the teams whose models it leads to, by name: output `namespace` of each `TeamNamespace`."""
    image: NotRequired[str]
    """Image of Traefik 3.7; needed unless both Gateways are somebody else's."""
    replicas: NotRequired[int]
    """Pods; 2 by default, and never fewer."""
    cpu: NotRequired[float]
    """Cores that a pod requests; 0.2 by default."""
    host: NotRequired[str]
    """Host name that clients use; any by default."""
    tls_secret_name: NotRequired[str]
    """Secret of the namespace with the certificate (`tls.crt`, `tls.key`). Left out: plain HTTP."""
    longest_request_seconds: NotRequired[int]
    """How long an answer may take; 600 by default. A pod that ends waits for those that have begun."""
    queue: NotRequired[bool]
    """Let requests without a connection through: `Gateway` has a queue."""
    service_type: NotRequired[str]
    """`ClusterIP` (the default) or `LoadBalancer`: how clients reach the edge."""
    service_annotations: NotRequired[dict[str, str]]
    """Annotations of the edge's Service, by which a cloud keeps its load balancer internal."""
    source_ranges: NotRequired[list[str]]
    """Address ranges from which the load balancer takes clients; all by default."""
    load_balancer_address: NotRequired[str]
    """Address that the load balancer gets; one that the cloud chooses by default."""
    external_traffic_policy: NotRequired[str]
    """`Local` (the default), with which pods see the addresses of clients, or `Cluster`."""
    tls_at_load_balancer: NotRequired[bool]
    """The load balancer ends TLS: it takes clients on port 443, and passes HTTP on; false by default."""
    answers_challenges: NotRequired[bool]
    """Beside TLS, listen without it for the questions of an authority (ACME, HTTP-01), and for nothing else; false by
    default."""
    existing_edge: NotRequired[GatewayReferenceArgs]
    """A Gateway that clients reach already, in place of ours; certificate, host and limits are its own."""
    existing_models: NotRequired[GatewayReferenceArgs]
    """A Gateway for the routes of models, reached from inside the cluster alone, in place of ours; only beside
    `existingEdge`."""
    gateway_class: NotRequired[str]
    """Name of the GatewayClass; `llm-serving` by default. A second stack on a cluster needs another."""
    node_selector: NotRequired[dict[str, str]]
    """Labels of the nodes on which it runs, for example those of the system pool."""
    tolerations: NotRequired[list[AddonTolerationArgs]]
    """Taints of those nodes."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registry of the image; the Secret is there already."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class GatewayProxyInputs(Frozen):
    """Arguments of :class:`GatewayProxy`, validated."""

    namespace: Any
    team_namespaces: dict[NamespaceName, Any]
    image: ImageName | None = None
    replicas: Annotated[PositiveCount, Field(ge=2)] = 2
    cpu: Annotated[float, Field(ge=0.01, le=64)] = 0.2
    host: ObjectName | None = None
    tls_secret_name: SecretName | None = None
    longest_request_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    queue: bool = False
    service_type: Literal["ClusterIP", "LoadBalancer"] = "ClusterIP"
    service_annotations: dict[str, str] = {}
    source_ranges: tuple[Cidr, ...] = ()
    load_balancer_address: str | None = None
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"
    tls_at_load_balancer: bool = False
    answers_challenges: bool = False
    existing_edge: GatewayReference | None = None
    existing_models: GatewayReference | None = None
    gateway_class: DnsLabel = "llm-serving"
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    image_pull: ImagePullSpec | None = None
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _is_one_proxy(self) -> "GatewayProxyInputs":
        if self.existing_models is not None and self.existing_edge is None:
            reason = "takes the routes of models from a proxy that would be left with the edge alone"
            raise ProblemsError([Problem("existingModels", None, reason, "existingEdge beside it, or neither")])
        if self.existing_models is None and self.image is None:
            tag = Suggestion("docker.io/library/traefik:v3.7.15, or its digest", needs=Needs.ELSEWHERE)
            raise ProblemsError([Problem("image", None, "required, but not given", tag)])
        return self

    @property
    def edge(self) -> traefik.EdgeListener | None:
        """The edge, where it is ours."""
        if self.existing_edge is not None:
            return None
        has_tls = self.tls_secret_name is not None
        challenge_port = EDGE_HTTP_PORT if has_tls and self.answers_challenges else None
        return traefik.EdgeListener(EDGE_HTTPS_PORT if has_tls else EDGE_HTTP_PORT, has_tls, challenge_port)


class GatewayProxy(pulumi.ComponentResource):
    """The Gateway API proxy in front of the gateway and behind it."""

    models_parents: pulumi.Output[list[dict[str, Any]]]
    """The Gateway that routes of models attach to, as a route names it: `parents` of `ModelRoute`."""
    url: pulumi.Output[str]
    """Where pods of the cluster reach the edge; empty where it is somebody else's."""
    address: pulumi.Output[str]
    """Address or name of the edge's load balancer; empty where it has none."""

    def __init__(self, name: str, args: GatewayProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(GatewayProxyInputs, args, "GatewayProxy", name)
        super().__init__(token("GatewayProxy"), name, {}, opts)
        labels = gateway_labels(COMPONENT_GATEWAY_PROXY, "traefik", inputs.labels)
        edge = inputs.edge
        gateways: list[pulumi.Resource] = []
        if inputs.existing_models is None:
            gateway_class = _custom(
                self, name, "GatewayClass", inputs.gateway_class, None, labels, {"controllerName": traefik.CONTROLLER}
            )
            namespaces = pulumi.Output.from_input(inputs.namespace).apply(
                lambda own: [own, *sorted({*inputs.team_namespaces} - {own})]
            )
            listeners: dict[str, Any] = {traefik.MODELS: namespaces.apply(lambda names: [_models_listener(names)])}
            if edge is not None:
                listeners[EDGE_GATEWAY] = _edge_listeners(edge, inputs)
            for gateway, of_gateway in listeners.items():
                spec = {"gatewayClassName": inputs.gateway_class, "listeners": of_gateway}
                made = _custom(self, f"{name}-{gateway}", "Gateway", gateway, inputs.namespace, labels, spec)
                gateways.append(made)
            ready = {
                "parentRefs": [{"name": traefik.MODELS}],
                "rules": [
                    {
                        "matches": [{"path": {"type": "Exact", "value": traefik.PING_PATH}}],
                        "backendRefs": [traefik.PING_SERVICE],
                    }
                ],
            }
            gateways.append(_custom(self, f"{name}-ping", "HTTPRoute", "ping", inputs.namespace, labels, ready))
            pods = ProxyPods(
                namespace=inputs.namespace,
                team_namespaces=inputs.team_namespaces,
                image=inputs.image or "",
                replicas=inputs.replicas,
                cpu=inputs.cpu,
                edge=edge,
                longest_request_seconds=inputs.longest_request_seconds,
                node_selector=inputs.node_selector,
                tolerations=inputs.tolerations,
                image_pull=inputs.image_pull,
                cluster_role=f"{inputs.gateway_class}-proxy",
                labels=labels,
            )
            # A pod is ready when it has read its Gateways, so they are there first.
            register_pods(self, name, pods, after=[gateway_class, *gateways])
            _service(self, f"{name}-models", MODELS_SERVICE, inputs, labels, [("http", MODELS_PORT, MODELS_PORT)])
        parent = _parent(inputs.existing_edge, EDGE_GATEWAY)
        if edge is not None and edge.challenge_port is not None:
            # Never on the listener without TLS.
            parent["sectionName"] = EDGE_HTTPS_LISTENER
        route = edge_route.spec(parent, inputs.host, LITELLM, LITELLM_PORT, queue=inputs.queue)
        _custom(self, f"{name}-allowed-paths", "HTTPRoute", EDGE_GATEWAY, inputs.namespace, labels, route)

        self.models_parents = pulumi.Output.from_input(inputs.namespace).apply(
            lambda namespace: [_parent(inputs.existing_models, traefik.MODELS, namespace)]
        )
        self.url, self.address = pulumi.Output.from_input(""), pulumi.Output.from_input("")
        if edge is not None:
            secured = edge.tls or inputs.tls_at_load_balancer
            scheme, port = ("https", EDGE_SERVICE_HTTPS_PORT) if secured else ("http", EDGE_SERVICE_HTTP_PORT)
            ports = [(scheme, port, edge.port)]
            if edge.challenge_port is not None:
                ports.append(("http", EDGE_SERVICE_HTTP_PORT, edge.challenge_port))
            service = _service(self, f"{name}-edge", EDGE_SERVICE, inputs, labels, ports)
            self.url = pulumi.Output.format("{0}://{1}.{2}.svc", scheme, service.metadata.name, inputs.namespace)
            if inputs.service_type == "LoadBalancer":
                self.address = service.status.apply(_address)
        self.register_outputs({"modelsParents": self.models_parents, "url": self.url, "address": self.address})


def _custom(
    parent: pulumi.Resource,
    name: str,
    kind: str,
    object_name: str,
    namespace: pulumi.Input[str] | None,
    labels: dict[str, str],
    spec: dict[str, Any],
) -> apiextensions.CustomResource:
    return apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind=kind,
        metadata=meta.v1.ObjectMetaArgs(name=object_name, namespace=namespace, labels=labels),
        spec=spec,
        opts=child(parent),
    )


def _edge_listeners(edge: traefik.EdgeListener, inputs: GatewayProxyInputs) -> list[dict[str, Any]]:
    """One for clients, and one for challenges where there are any."""
    of_host = {} if inputs.host is None else {"hostname": inputs.host}
    allowed = {"allowedRoutes": {"namespaces": {"from": "Same"}}}
    plain = {"name": EDGE_HTTP_LISTENER, "protocol": "HTTP", **of_host, **allowed}
    if not edge.tls:
        return [{**plain, "port": edge.port}]
    tls = {"mode": "Terminate", "certificateRefs": [{"name": inputs.tls_secret_name}]}
    secured = {"name": EDGE_HTTPS_LISTENER, "port": edge.port, "protocol": "HTTPS", **of_host, **allowed, "tls": tls}
    return [secured] if edge.challenge_port is None else [secured, {**plain, "port": edge.challenge_port}]


def _models_listener(namespaces: list[str]) -> dict[str, Any]:
    """Routes of the teams, and of nobody else."""
    named = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
    return {
        "name": "http",
        "port": MODELS_PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchExpressions": [named]}}},
    }


def _parent(existing: GatewayReference | None, ours: str, namespace: str | None = None) -> dict[str, Any]:
    """A Gateway as a route names it; ``namespace`` of ours is left out where the route is in it."""
    if existing is None:
        return {"name": ours} if namespace is None else {"name": ours, "namespace": namespace}
    section = {} if existing.listener is None else {"sectionName": existing.listener}
    return {"name": existing.name, "namespace": existing.namespace, **section}


def _service(
    parent: pulumi.Resource,
    name: str,
    object_name: str,
    inputs: GatewayProxyInputs,
    labels: dict[str, str],
    ports: list[tuple[str, int, int]],
) -> core.v1.Service:
    """A Service in front of the pods; of each port its name, its number, and that of the pods."""
    is_edge = object_name == EDGE_SERVICE
    balanced = is_edge and inputs.service_type == "LoadBalancer"
    return core.v1.Service(
        name,
        metadata=meta.v1.ObjectMetaArgs(
            name=object_name,
            namespace=inputs.namespace,
            labels=labels,
            annotations=(inputs.service_annotations or None) if is_edge else None,
        ),
        spec=core.v1.ServiceSpecArgs(
            type=inputs.service_type if is_edge else "ClusterIP",
            selector={LABEL_COMPONENT: COMPONENT_GATEWAY_PROXY},
            ports=[core.v1.ServicePortArgs(name=key, port=port, target_port=target) for key, port, target in ports],
            # With "Local", network policies know clients by their addresses, which another node that passes a
            # connection on replaces.
            external_traffic_policy=inputs.external_traffic_policy if balanced else None,
            load_balancer_source_ranges=[*map(str, inputs.source_ranges)] or None if balanced else None,
            load_balancer_ip=inputs.load_balancer_address if balanced else None,
        ),
        opts=child(parent),
    )


def _address(status: Any) -> str:
    """What the load balancer's status says, in either form of the SDK's."""
    ingress = status.load_balancer.ingress if status is not None and status.load_balancer is not None else None
    return (ingress[0].ip or ingress[0].hostname or "") if ingress else ""


__all__ = ["API_VERSION", "GatewayProxy", "GatewayProxyArgs"]
