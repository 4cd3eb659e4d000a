"""The routes of a model behind the gateway: to all releases by their weights, to one that a request names, and to the
stable one alone.

Owns the two HTTPRoutes of a model, in its team's namespace. Leaves alone: the Gateway that they attach to, the Services
behind them, and how many instances a release has.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apiextensions, meta

from llm_serving.component import Frozen, child, raising_input_errors, token, validated
from llm_serving.errors import Problem, ProblemsError
from llm_serving.gateway.proxy import API_VERSION
from llm_serving.serving.arguments import ModelArgs
from llm_serving.serving.labels import model_labels
from llm_serving.spec import ModelSpec

RELEASE_HEADER = "x-llm-release"
"""In a request: the release that must answer. In an answer: the one that did, an error of the proxy's own about it
included."""

_SERVICE_URL = re.compile(r"http://([^./:]+)[^:/]*:(\d+)(/v1)?/?")


class ModelRouteArgs(TypedDict):
    """Arguments of `ModelRoute`."""

    model: ModelArgs
    """The model: that of `ModelService`."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    parents: pulumi.Input[list[dict[str, Any]]]
    """The Gateway that it attaches to: output `modelsParents` of `GatewayProxy`."""
    release_urls: pulumi.Input[dict[str, str]]
    """Base URL of each release by version, on a Service of the namespace: output `releaseUrls` of `ModelService`, or
    those of the releases' routers."""
    portable: NotRequired[bool]
    """Use only what every implementation of the Gateway API has; false by default, for Traefik. Answers then do not say
    which release they are of, and a request for a release that is not served is answered by another."""
    labels: NotRequired[dict[str, str]]
    """More labels for the routes."""


class ModelRouteInputs(Frozen):
    """Arguments of :class:`ModelRoute`, validated."""

    model: ModelSpec
    namespace: Any
    parents: Any
    release_urls: Any
    portable: bool = False
    labels: dict[str, str] = {}


class ModelRoute(pulumi.ComponentResource):
    """How requests find the releases of one model."""

    weights: pulumi.Output[dict[str, int]]
    """Percent of the requests by release, of those that name none."""

    def __init__(self, name: str, args: ModelRouteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ModelRouteInputs, args, "ModelRoute", name)
        super().__init__(token("ModelRoute"), name, {}, opts)
        model = inputs.model
        labels = model_labels(model, inputs.labels)
        known = pulumi.Output.all(inputs.parents, inputs.release_urls)

        def route(suffix: str, rules: Callable[[ModelSpec, Mapping[str, Backend]], list[dict[str, Any]]]) -> None:
            def spec(outputs: list[Any]) -> dict[str, Any]:
                parents, urls = outputs
                with raising_input_errors(f"ModelRoute {name!r}"):
                    targets = backends(model, urls, names_release=not inputs.portable)
                return {"parentRefs": parents, "rules": rules(model, targets)}

            apiextensions.CustomResource(
                f"{name}{suffix}",
                api_version=API_VERSION,
                kind="HTTPRoute",
                metadata=meta.v1.ObjectMetaArgs(
                    name=f"{model.name}{suffix}", namespace=inputs.namespace, labels=labels
                ),
                spec=known.apply(spec),
                opts=child(self),
            )

        route("", partial(weighted_rules, refuse_unknown=not inputs.portable))
        route("-stable", stable_rules)
        self.weights = pulumi.Output.from_input(weights(model))
        self.register_outputs({"weights": self.weights})


Backend = dict[str, Any]


def weights(model: ModelSpec) -> dict[str, int]:
    """Percent of the requests by version, without releases that get none."""
    canary = model.releases.canary
    shares = {model.releases.stable: 100 if canary is None else 100 - canary.weight}
    if canary is not None:
        shares[canary.release] = canary.weight
    return {version: share for version, share in shares.items() if share}


def backends(model: ModelSpec, release_urls: Mapping[str, str], names_release: bool = True) -> dict[str, Backend]:
    """The back end of each release by version, without a weight.

    Args:
        model: the model.
        release_urls: base URL of each release by version.
        names_release: each answer says which release it is of.

    Raises:
        ProblemsError: a release has no URL, or one that is not a Service's.
    """
    problems: list[Problem] = []
    targets: dict[str, Backend] = {}
    for version in model.releases.versions:
        url, path = release_urls.get(version), f"releaseUrls.{version}"
        match = _SERVICE_URL.fullmatch(url or "")
        if match is None:
            reason = "required, but not given" if url is None else "is not the URL of a Service of the namespace"
            problems.append(Problem(path, url, reason, "http://SERVICE.NAMESPACE.svc:PORT/v1"))
            continue
        targets[version] = {"name": match[1], "port": int(match[2])}
        if names_release:
            header = {"set": [{"name": RELEASE_HEADER, "value": version}]}
            targets[version]["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": header}]
    if problems:
        raise ProblemsError(problems)
    return targets


def weighted_rules(
    model: ModelSpec, targets: Mapping[str, Backend], refuse_unknown: bool = True
) -> list[dict[str, Any]]:
    """Rules of ``/<model>/v1``: the release that a request names, else all by their weights.

    Args:
        model: the model.
        targets: back ends by version.
        refuse_unknown: a request for a release that is not served finds no back end (503), in place of another release.
    """
    path = {"path": {"type": "PathPrefix", "value": f"/{model.name}/v1"}}

    def pinned(kind: str, value: str) -> list[dict[str, Any]]:
        return [{**path, "headers": [{"type": kind, "name": RELEASE_HEADER, "value": value}]}]

    rules = [_rule(pinned("Exact", version), [target]) for version, target in targets.items()]
    if refuse_unknown:
        rules.append(_rule(pinned("RegularExpression", ".+"), []))
    shares = [{**targets[version], "weight": share} for version, share in weights(model).items()]
    return [*rules, _rule([path], shares)]


def stable_rules(model: ModelSpec, targets: Mapping[str, Backend]) -> list[dict[str, Any]]:
    """Rules of ``/<model>/stable/v1``."""
    path = {"path": {"type": "PathPrefix", "value": f"/{model.name}/stable/v1"}}
    return [_rule([path], [targets[model.releases.stable]])]


def _rule(matches: list[dict[str, Any]], targets: list[Backend]) -> dict[str, Any]:
    rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1"}}
    return {
        "matches": matches,
        "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}],
        **({"backendRefs": targets} if targets else {}),
    }
