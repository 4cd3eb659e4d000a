"""What runs where: nodes and model pods of a stack's cluster, read from its Kubernetes API."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from llm_serving.arguments import Frozen
from llm_serving.contract import LABEL_MARKET, LABEL_MODEL, LABEL_POOL, LABEL_RELEASE

ENGINES = f"{LABEL_MODEL},app.kubernetes.io/component=engine"
"""Selects the pods that answer; those that load weights carry the model's label too."""

NODE_SHUTDOWN = frozenset({"Terminated", "NodeShutdown", "Shutdown"})
"""Reasons of a failed pod whose node was taken away (kubelet, graceful node shutdown: what a spot node leaves behind).
It is replaced already; what is left of it only waits for Kubernetes' garbage collection."""

NODE_PROVISIONERS = {"karpenter": "Karpenter", "cluster-autoscaler": "cluster autoscaler"}
"""Who brings nodes, by the name that its events have. The scheduler says what the nodes lack that are there; why no
other one comes, such as the limit of a pool, only they say."""


class PodState(StrEnum):
    """What a pod is doing, as far as a reader of the summary has to act on it."""

    READY = "ready"
    STARTING = "starting"
    WAITING_FOR_CAPACITY = "waiting for capacity"
    FAILING = "failing"


class NodeView(Frozen):
    """A node, with its pool and market where it is one of ours, and the GPUs that pods can ask for."""

    name: str
    pool: str
    market: str
    machine_type: str
    zone: str
    gpus: int
    ready: bool


class PodView(Frozen):
    """A pod of a model's release; ``reason`` says why it is not ready."""

    name: str
    namespace: str
    model: str
    release: str
    node: str
    state: PodState
    reason: str = ""


class ClusterView(Frozen):
    """Nodes and model pods at one moment."""

    nodes: tuple[NodeView, ...]
    pods: tuple[PodView, ...]

    def pods_of(self, model: str, namespace: str, release: str) -> list[PodView]:
        """The pods of one release of a model."""
        identity = (namespace, model, release)
        return [pod for pod in self.pods if (pod.namespace, pod.model, pod.release) == identity]


def read_cluster(kubeconfig: Path, context: str | None = None) -> ClusterView:
    """Nodes and model pods of the cluster that ``kubeconfig`` names.

    Raises:
        ConnectionError: the cluster cannot be reached; the message says how it was tried.
    """
    # Imported here: the client takes a second to load, and most commands never talk to a cluster.
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        connection: Any = cast(Any, config).new_client_from_config(config_file=str(kubeconfig), context=context)
        api = client.CoreV1Api(connection)
        nodes = api.list_node(_request_timeout=20).to_dict()["items"]
        pods = api.list_pod_for_all_namespaces(label_selector=ENGINES, _request_timeout=20).to_dict()["items"]
        # There are many of them, and most are of no use here.
        waiting = any(pod_state(pod)[0] is PodState.WAITING_FOR_CAPACITY for pod in pods)
        events: list[dict[str, Any]] = []
        if waiting:
            of_pods = "involvedObject.kind=Pod"
            events = api.list_event_for_all_namespaces(field_selector=of_pods, _request_timeout=20).to_dict()["items"]
    except (ApiException, HTTPError, config.ConfigException, OSError) as error:
        raise ConnectionError(f"the cluster of {kubeconfig} does not answer: {error}") from error
    return ClusterView(nodes=tuple(_node(item) for item in nodes), pods=model_pods(pods, events))


def model_pods(items: Iterable[dict[str, Any]], events: Iterable[dict[str, Any]] = ()) -> tuple[PodView, ...]:
    """The pods of models, without those that went with their node.

    Args:
        items: Pods as the Kubernetes client's dictionaries.
        events: Events of pods, in the same form; what brings nodes says there why it brings none.
    """
    refusals = _refusals(events)
    return tuple(_pod(item, refusals) for item in items if not _ended_with_its_node(item["status"]))


def _refusals(events: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What was said last of a pod by whoever brings nodes, by the pod's UID."""
    latest: dict[str, tuple[datetime, str]] = {}
    for event in events:
        source: dict[str, str | None] = event["source"] or {}
        provisioner = NODE_PROVISIONERS.get(event["reporting_component"] or source.get("component") or "")
        moment: datetime | None = (
            event["last_timestamp"] or event["event_time"] or event["metadata"]["creation_timestamp"]
        )
        if provisioner is None or moment is None:
            continue
        uid = event["involved_object"]["uid"]
        if uid not in latest or latest[uid][0] <= moment:
            latest[uid] = (moment, f"{provisioner}: {event['message']}")
    return {uid: message for uid, (_, message) in latest.items()}


def _node(item: dict[str, Any]) -> NodeView:
    labels: dict[str, str] = item["metadata"]["labels"] or {}
    allocatable: dict[str, str] = item["status"]["allocatable"] or {}
    return NodeView(
        name=item["metadata"]["name"],
        pool=labels.get(LABEL_POOL, ""),
        market=labels.get(LABEL_MARKET, ""),
        machine_type=labels.get("node.kubernetes.io/instance-type", ""),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        gpus=int(allocatable.get("nvidia.com/gpu", "0")),
        ready=_is_true(item, "Ready"),
    )


def _pod(item: dict[str, Any], refusals: Mapping[str, str]) -> PodView:
    state, reason = pod_state(item)
    if state is PodState.WAITING_FOR_CAPACITY:
        reason = "; ".join(filter(None, (reason, refusals.get(item["metadata"].get("uid", "")))))
    return PodView(
        name=item["metadata"]["name"],
        namespace=item["metadata"]["namespace"],
        model=item["metadata"]["labels"][LABEL_MODEL],
        release=item["metadata"]["labels"].get(LABEL_RELEASE, ""),
        node=item["spec"]["node_name"] or "",
        state=state,
        reason=reason,
    )


def pod_state(item: dict[str, Any]) -> tuple[PodState, str]:
    """State and reason of a pod, given as the Kubernetes client's dictionary (snake case)."""
    if _is_true(item, "Ready"):
        return PodState.READY, ""
    scheduled = _condition(item, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return PodState.WAITING_FOR_CAPACITY, scheduled["message"] or scheduled["reason"] or ""
    if item["status"]["phase"] == "Failed":
        return PodState.FAILING, item["status"]["message"] or item["status"]["reason"] or "failed"
    for container in _containers(item):
        state: dict[str, Any] = container["state"] or {}
        last: dict[str, Any] = container["last_state"] or {}
        waiting: dict[str, str] | None = state.get("waiting")
        ended: dict[str, str] | None = last.get("terminated")
        if waiting and waiting["reason"] not in ("ContainerCreating", "PodInitializing"):
            return PodState.FAILING, ": ".join(filter(None, (waiting["reason"], waiting["message"])))
        if ended and container["restart_count"]:
            return PodState.FAILING, f"restarted {container['restart_count']} times, last: {ended['reason']}"
    return PodState.STARTING, "not ready yet"


def _ended_with_its_node(status: dict[str, Any]) -> bool:
    return status["phase"] == "Failed" and status["reason"] in NODE_SHUTDOWN


def _containers(item: dict[str, Any]) -> Iterable[dict[str, Any]]:
    status = item["status"]
    return [*(status["init_container_statuses"] or []), *(status["container_statuses"] or [])]


def _condition(item: dict[str, Any], kind: str) -> dict[str, Any] | None:
    conditions: list[dict[str, Any]] = item["status"]["conditions"] or []
    return next((condition for condition in conditions if condition["type"] == kind), None)


def _is_true(item: dict[str, Any], kind: str) -> bool:
    condition = _condition(item, kind)
    return condition is not None and condition["status"] == "True"
