"""Certificates that cert-manager makes for the gateway: that of its edge, and those of the Redis that are installed.

Their definitions are of cert-manager 1.21. Nothing waits for a certificate: an authority that asks the gateway itself
finds it once DNS has the address of a load balancer that is only then known, and pods start when the Secret is there.
"""

from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from llm_serving.component import child
from llm_serving.gateway.names import (
    EDGE_CERTIFICATE,
    EDGE_GATEWAY,
    EDGE_HTTP_LISTENER,
    REDIS_SERVICES,
    certificate_secret,
    service_host,
)
from llm_serving.gateway.traefik import GROUP as GATEWAY_GROUP
from llm_serving.serving.labels import COMPONENT_GATEWAY_PROXY, LABEL_COMPONENT
from llm_serving.spec import AcmeSpec, GatewaySpec

GROUP = "cert-manager.io"
API_VERSION = f"{GROUP}/v1"
ACME_ISSUER = "acme"
SELF_SIGNED_ISSUER = "self-signed"

SOLVER_PODS = {"acme.cert-manager.io/http01-solver": "true"}
"""Labels of the pods by which cert-manager answers an authority (its documentation, "HTTP01")."""
SOLVER_PORT = 8089

_REDIS_DURATION = "87600h"
"""Redis reads its certificate when it starts, and clients that of its authority: ten years are more than either runs
without being started anew."""


def register_certificates(
    parent: pulumi.Resource, name: str, spec: GatewaySpec, namespace: pulumi.Input[str], labels: dict[str, str]
) -> None:
    """Register issuers and certificates, each in a Secret that :func:`certificate_secret` or the edge's name says."""

    def register(kind: str, object_name: str, body: dict[str, Any], *after: pulumi.Resource) -> pulumi.Resource:
        return apiextensions.CustomResource(
            f"{name}-{object_name}",
            api_version=API_VERSION,
            kind=kind,
            metadata=meta.v1.ObjectMetaArgs(
                name=object_name, namespace=namespace, labels=labels, annotations={"pulumi.com/skipAwait": "true"}
            ),
            spec=body,
            opts=child(parent, depends_on=list(after)),
        )

    if spec.tls is not None and spec.tls.is_made and spec.host is not None:
        issuer, after = spec.tls.issuer, list[pulumi.Resource]()
        reference = {"name": ACME_ISSUER, "kind": "Issuer", "group": GROUP}
        if issuer is not None:
            reference = {"name": issuer.name, "kind": issuer.kind, "group": GROUP}
        elif spec.tls.acme is not None:
            after = [register("Issuer", ACME_ISSUER, acme_issuer(spec.tls.acme))]
        register("Certificate", EDGE_CERTIFICATE, certificate(EDGE_CERTIFICATE, [spec.host], reference), *after)
    if stores := spec.redis.with_made_certificates:
        own = register("Issuer", SELF_SIGNED_ISSUER, {"selfSigned": {}})
        reference = {"name": SELF_SIGNED_ISSUER, "kind": "Issuer", "group": GROUP}
        for store in stores:
            service = REDIS_SERVICES[store]
            hosts = [service_host(service, spec.namespace)]
            secret = certificate_secret(service)
            register("Certificate", secret, {**certificate(secret, hosts, reference), "duration": _REDIS_DURATION}, own)


def certificate(secret: str, hosts: list[str], issuer: dict[str, str]) -> dict[str, Any]:
    """Spec of a Certificate whose Secret is kept up to date."""
    return {
        "secretName": secret,
        "dnsNames": hosts,
        "issuerRef": issuer,
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
    }


def acme_issuer(acme: AcmeSpec) -> dict[str, Any]:
    """Spec of the Issuer with an account of an authority.

    Over HTTP, cert-manager hangs a route of its own on the listener without TLS; the proxy reads routes of its own
    label alone.
    """
    route = {
        "serviceType": "ClusterIP",
        "labels": {LABEL_COMPONENT: COMPONENT_GATEWAY_PROXY},
        "parentRefs": [
            {"group": GATEWAY_GROUP, "kind": "Gateway", "name": EDGE_GATEWAY, "sectionName": EDGE_HTTP_LISTENER}
        ],
    }
    solver = {"http01": {"gatewayHTTPRoute": route}} if acme.dns01 is None else {"dns01": acme.dns01}
    return {
        "acme": {
            "email": acme.email,
            "server": acme.server,
            "privateKeySecretRef": {"name": "acme-account"},
            "solvers": [solver],
        }
    }
