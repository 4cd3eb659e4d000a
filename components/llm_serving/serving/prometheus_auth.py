"""Credentials with which KEDA asks a Prometheus that somebody else runs.

Owns the Secret of a namespace that holds them and the TriggerAuthentication that points KEDA to it; both are
namespaced, and a ScaledObject finds only those beside it. Leaves alone: who reads Secrets (``roles``), and what the
identity of KEDA's operator may do in its cloud.

Names of parameters and modes are those of KEDA's Prometheus scaler (https://keda.sh/docs/2.21/scalers/prometheus/).
"""

from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from llm_serving.component import child
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import PrometheusAuthMode, PrometheusAuthSpec

API_VERSION = "keda.sh/v1alpha1"
KIND = "TriggerAuthentication"
NAME = "prometheus"
"""Of the TriggerAuthentication in each team's namespace."""
SECRET = "prometheus-credential"
_PARAMETERS = {
    PrometheusAuthMode.BEARER: {"bearerToken": "token"},
    PrometheusAuthMode.BASIC: {"username": "username", "password": "password"},
}
"""Keys of the Secret by parameter of the scaler."""


def check_credential(spec: PrometheusAuthSpec | None, credential: Any) -> None:
    """A token or a password belongs to a mode that shows one, and such a mode to it.

    Raises:
        ProblemsError: with the path of the component's argument.
    """
    wanted = spec is not None and spec.mode.has_credential
    if wanted and credential is None:
        reason = f"required with prometheusAuth.mode {spec.mode if spec else ''}"
        raise ProblemsError([Problem("prometheusCredential", None, reason, "a secret")])
    if credential is not None and not wanted:
        reason = "without meaning where no prometheusAuth shows it"
        raise ProblemsError([Problem("prometheusCredential", None, reason, "mode bearer or basic")])


def trigger_fields(spec: PrometheusAuthSpec | None) -> tuple[dict[str, str], dict[str, Any]]:
    """What a Prometheus trigger says of its credentials: in its metadata, and beside it."""
    if spec is None:
        return {}, {}
    # Beside a pod identity the scaler refuses every authModes (KEDA 2.21, checkAuthConfigWithPodIdentity).
    modes = {"authModes": spec.mode.value} if spec.mode.has_credential else {}
    return modes, {"authenticationRef": {"name": NAME}}


def authentication_spec(spec: PrometheusAuthSpec) -> dict[str, Any]:
    """The spec of the TriggerAuthentication."""
    if spec.mode is PrometheusAuthMode.GCP:
        return {"podIdentity": {"provider": "gcp"}}
    keys = _PARAMETERS[spec.mode]
    return {
        "secretTargetRef": [{"parameter": parameter, "name": SECRET, "key": key} for parameter, key in keys.items()]
    }


def trigger_authentication(
    parent: pulumi.Resource,
    name: str,
    namespace: pulumi.Input[str],
    spec: PrometheusAuthSpec | None,
    credential: pulumi.Input[str] | None,
    labels: dict[str, str],
) -> None:
    """Register both objects in a namespace; nothing where Prometheus asks nobody."""
    if spec is None:
        return
    after: list[pulumi.Resource] = []
    if credential is not None:
        key = "token" if spec.mode is PrometheusAuthMode.BEARER else "password"
        secret = core.v1.Secret(
            f"{name}-credential",
            metadata=meta.v1.ObjectMetaArgs(name=SECRET, namespace=namespace, labels=labels),
            string_data={
                key: pulumi.Output.secret(credential),
                **({} if spec.username is None else {"username": spec.username}),
            },
            opts=child(parent),
        )
        after.append(secret)
    apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind=KIND,
        metadata=meta.v1.ObjectMetaArgs(name=NAME, namespace=namespace, labels=labels),
        spec=authentication_spec(spec),
        opts=child(parent, depends_on=after),
    )
