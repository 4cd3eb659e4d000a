"""Credentials with which nodes pull the images of our pods.

Owns the Secret that is made of a user name and a password, and what pods and charts say to be given it. Leaves alone:
Secrets that somebody else made; a pod that names one that is not there pulls without it.
"""

import base64
import json
from typing import Any

import pulumi
from pulumi_kubernetes import core, meta

from llm_serving.component import child
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import ImagePullSpec
from llm_serving.spec.image_pull import PULL_SECRET

TYPE = "kubernetes.io/dockerconfigjson"
KEY = ".dockerconfigjson"
"""Type of the Secret and its key (Kubernetes documentation, "Docker config Secrets")."""


def pull_references(spec: ImagePullSpec | None) -> list[core.v1.LocalObjectReferenceArgs] | None:
    """``imagePullSecrets`` of a pod; ``None`` where nodes need no credentials."""
    if spec is None:
        return None
    return [core.v1.LocalObjectReferenceArgs(name=name) for name in spec.secrets]


def check_password(spec: ImagePullSpec | None, password: Any) -> None:
    """A password belongs to a registry, and a registry to a password.

    Raises:
        ProblemsError: with the path of the component's argument.
    """
    has_registry = spec is not None and spec.registry is not None
    if has_registry and password is None:
        reason = "required where imagePull.registry is given"
        raise ProblemsError([Problem("imagePullPassword", None, reason, "a secret")])
    if password is not None and not has_registry:
        reason = "without meaning where no imagePull.registry is given"
        raise ProblemsError([Problem("imagePullPassword", None, reason, "imagePull.registry, or no password")])


def pull_secret(
    parent: pulumi.Resource,
    name: str,
    namespace: pulumi.Input[str],
    spec: ImagePullSpec | None,
    password: pulumi.Input[str] | None,
    labels: dict[str, str],
) -> list[core.v1.Secret]:
    """Register the Secret of a namespace; none where ``spec`` names Secrets that are there."""
    if spec is None or spec.registry is None or password is None:
        return []
    document = pulumi.Output.secret(password).apply(lambda password: _docker_config(spec, password))
    return [
        core.v1.Secret(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=PULL_SECRET, namespace=namespace, labels=labels),
            type=TYPE,
            string_data={KEY: document},
            opts=child(parent),
        )
    ]


def _docker_config(spec: ImagePullSpec, password: str) -> str:
    both = base64.b64encode(f"{spec.username}:{password}".encode()).decode()
    credentials = {"username": spec.username, "password": password, "auth": both}
    return json.dumps({"auths": {spec.registry: credentials}}, sort_keys=True)
