"""The way out that a site prescribes, as containers are told it: variables that libraries read, and certificates.

Owns the ConfigMap that is made of certificates. Leaves alone: who is let through (``network_policies``), and what the
loader makes of the variables (``images/model-loader``).
"""

from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from llm_serving.component import child
from llm_serving.spec import EgressSpec
from llm_serving.spec.egress import CA_KEY

CA_FOLDER = "/etc/llm-serving-ca"
CA_FILE = f"{CA_FOLDER}/{CA_KEY}"
CA_VOLUME = "site-certificates"

ALWAYS_DIRECT = (
    "localhost",
    "127.0.0.1",
    ".svc",
    ".cluster.local",
    "kubernetes.default",
    # The API server: Kubernetes puts the variable in, in pods without service links too (its documentation, "Accessing
    # the Kubernetes API from a Pod").
    "$(KUBERNETES_SERVICE_HOST)",
    # The metadata servers of the clouds, and EKS Pod Identity: they know a pod by its own address.
    "169.254.169.254",
    "metadata.google.internal",
    "169.254.170.23",
)
"""Hosts that no proxy reaches."""


def egress_variables(spec: EgressSpec | None) -> dict[str, str]:
    """Variables by which libraries find mirror, proxy and certificates."""
    if spec is None:
        return {}
    variables = {"HF_ENDPOINT": spec.hub_endpoint, "HTTPS_PROXY": spec.https_proxy, "HTTP_PROXY": spec.http_proxy}
    if spec.has_proxy:
        variables["NO_PROXY"] = ",".join(dict.fromkeys([*ALWAYS_DIRECT, *spec.no_proxy]))
    if spec.ca_name is not None:
        # OpenSSL and httpx read the first, requests the second.
        variables |= {"SSL_CERT_FILE": CA_FILE, "REQUESTS_CA_BUNDLE": CA_FILE}
    return {name: value for name, value in variables.items() if value is not None}


def certificate_volumes(spec: EgressSpec | None) -> list[Any]:
    """The volume with the site's certificates, of a pod; none where images' own are trusted."""
    if spec is None or spec.ca_name is None:
        return []
    return [{"name": CA_VOLUME, "configMap": {"name": spec.ca_name}}]


def certificate_mounts(spec: EgressSpec | None) -> list[Any]:
    """Its mount, of a container."""
    return [{"name": volume["name"], "mountPath": CA_FOLDER, "readOnly": True} for volume in certificate_volumes(spec)]


def certificates(
    parent: pulumi.Resource, name: str, namespace: pulumi.Input[str], spec: EgressSpec | None, labels: dict[str, str]
) -> None:
    """Register the ConfigMap of a namespace; nothing where it is there already, or none is needed."""
    if spec is None or spec.ca_certificates is None:
        return
    core.v1.ConfigMap(
        name,
        metadata=meta.v1.ObjectMetaArgs(name=spec.ca_name, namespace=namespace, labels=labels),
        data={CA_KEY: spec.ca_certificates},
        immutable=True,
        opts=child(parent),
    )
