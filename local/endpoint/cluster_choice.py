"""Which cluster stack ``local`` is brought up on: our own node, or one of the user's that is meant for trying things.

A bare ``make up`` must never install anything into somebody's production cluster. So a kubeconfig is used only where
its context is one that kind, k3d or minikube made, or where ``Pulumi.local.yaml`` names it.
"""

import os
from collections.abc import Mapping

import yaml

from llm_serving.cloud.existing.kubeconfig import from_environment, one_context
from llm_serving.errors import ProblemsError
from local.cluster import ClusterError
from local.cluster.node.requirements import unmet
from local.endpoint.serving_clusters import OwnNode, ServingCluster, UsersCluster, tool_of
from local.state_folder import StateFolder
from stacks.settings import ExistingClusterSettings

CONTEXT_LINE = "llm-serving:cluster: {name: local, context: %s, ...}"


def choose_cluster(
    state: StateFolder, cluster: ExistingClusterSettings, environment: Mapping[str, str] = os.environ
) -> ServingCluster:
    """The cluster to use.

    Args:
        state: the state folder.
        cluster: what ``Pulumi.local.yaml`` says of it; a context that it names is used.
        environment: where ``KUBECONFIG`` is looked up.

    Raises:
        ClusterError: none that may be used; says what to do.
    """
    if cluster.context is not None:
        return _of_context(state, cluster, cluster.context, environment)
    obstacle = unmet()
    if not environment.get("KUBECONFIG") and obstacle is None:
        return OwnNode(state)
    try:
        text = from_environment(environment)
        context = str((yaml.safe_load(text) or {}).get("current-context") or "")
    except ProblemsError as error:
        if environment.get("KUBECONFIG"):
            raise ClusterError(str(error)) from None
        raise ClusterError(_ways(obstacle or "")) from None
    tool = tool_of(context)
    if tool is None:
        refusal = f"the kubeconfig's current context {context!r} is none of kind, k3d or minikube, so it is left alone"
        if not environment.get("KUBECONFIG"):
            raise ClusterError(f"{refusal}, and {_ways(obstacle or '', context)}")
        instead = "" if obstacle else "\n  or unset KUBECONFIG: then a node of its own is started on this machine."
        line = CONTEXT_LINE % (context or "CONTEXT")
        raise ClusterError(
            f"{refusal}.\n  If models may be installed there, say so in Pulumi.local.yaml: {line}{instead}"
        )
    return UsersCluster(state, context, one_context(text, context), tool, cluster.cache_storage)


def _of_context(
    state: StateFolder, cluster: ExistingClusterSettings, context: str, environment: Mapping[str, str]
) -> ServingCluster:
    try:
        text = one_context(from_environment(environment), context)
    except ProblemsError as error:
        raise ClusterError(f"Pulumi.local.yaml: llm-serving:cluster.context: {error}") from None
    return UsersCluster(state, context, text, tool_of(context), cluster.cache_storage)


def _ways(obstacle: str, context: str = "CONTEXT") -> str:
    return (
        f"there is no cluster to use: {obstacle}.\nWays to get one:\n"
        "  Linux    run `make up` as root (sudo -E make up): it starts a node of its own\n"
        "  kind     kind create cluster --name llm-serving, then make up\n"
        "  k3d      k3d cluster create llm-serving, then make up\n"
        "  minikube minikube start, then make up\n"
        f"  another  name its context in Pulumi.local.yaml: {CONTEXT_LINE % (context or 'CONTEXT')}"
    )
