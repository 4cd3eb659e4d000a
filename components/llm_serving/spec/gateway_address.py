"""How clients reach a gateway: its load balancer, its certificate, or a Gateway that is there."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import BASE_URL, EMAIL
from llm_serving.spec.gateway_reference import GatewayReference
from llm_serving.spec.kubernetes import LabelKey
from llm_serving.spec.names import NamespaceName, ObjectName, SecretName
from llm_serving.spec.network import Cidr

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class LoadBalancerSpec(Frozen):
    """The load balancer of the cloud in front of the gateway."""

    public: bool = False
    """Has an address of the internet; false by default: one of the cloud's private network."""
    source_ranges: tuple[Cidr, ...] = ()
    """Addresses of clients; left out: all of private networks, of a public one everybody."""
    addresses: Annotated[tuple[str, ...], Field(max_length=6)] = ()
    """Addresses that it has, which are reserved: an IPv4 address, on AWS the allocations of Elastic IP addresses; left
    out: the cloud gives it one."""
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"
    """`Local` (the default) keeps the addresses of clients; `Cluster` replaces them by those of nodes, for load
    balancers that find no node with a pod by themselves."""
    annotations: dict[LabelKey, str] = {}
    """More annotations of its Service, for what the cloud has no setting for here."""
    external_dns: bool = False
    """Have ExternalDNS of the cluster make the record of `host`; false by default."""


class IssuerSpec(Frozen):
    """An issuer of cert-manager that is there."""

    name: ObjectName
    """Its name."""
    kind: Literal["ClusterIssuer", "Issuer"] = "ClusterIssuer"
    """`ClusterIssuer` (the default), or `Issuer` in the gateway's namespace."""


class AcmeSpec(Frozen):
    """An account of an authority that speaks ACME, such as Let's Encrypt."""

    email: Annotated[str, EMAIL]
    """Where the authority writes to before a certificate ends."""
    server: Annotated[str, BASE_URL] = LETS_ENCRYPT
    """Its directory; that of Let's Encrypt by default."""
    dns01: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """How the record of the domain is changed that proves that it is ours: one solver in the form of cert-manager, with
    the names of Secrets of the gateway's namespace. Left out: the authority asks the gateway itself, over HTTP."""


class GatewayTlsSpec(Frozen):
    """The gateway's certificate, one of four."""

    secret_name: SecretName | None = None
    """A Secret of type `kubernetes.io/tls` in the gateway's namespace, which somebody else keeps."""
    issuer: IssuerSpec | None = None
    """An issuer of cert-manager that is there."""
    acme: AcmeSpec | None = None
    """An authority that is asked by an issuer of the gateway's own."""
    load_balancer_certificate: str | None = None
    """A certificate of the cloud, with which the load balancer ends TLS: on AWS the ARN of one of ACM."""

    @model_validator(mode="after")
    def _is_one(self) -> "GatewayTlsSpec":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            fields = type(self).model_fields
            names = ", ".join(str(fields[name].alias or name) for name in fields)
            reason = f"a certificate has one source: one of {names}"
            path = str(fields[given[1]].alias or given[1]) if given else ""
            leave_out = Suggestion("leave it out, or the other one", removal=True)
            raise ProblemsError([Problem(path, None, reason, leave_out)])
        return self

    @property
    def is_proved_over_http(self) -> bool:
        """The authority asks the gateway itself."""
        return self.acme is not None and self.acme.dns01 is None

    @property
    def is_made(self) -> bool:
        """cert-manager makes it."""
        return self.issuer is not None or self.acme is not None


class CertificateSecretSpec(Frozen):
    """A certificate that is there."""

    secret_name: SecretName
    """Secret of type `kubernetes.io/tls`."""


class ExistingEdgeSpec(GatewayReference):
    """A Gateway that clients reach already, by HTTPS. Its certificate, address and limits are its own."""

    proxy_namespace: NamespaceName | None = None
    """Namespace of the pods that serve it; left out: its own."""
