"""What a cloud does for its clusters, nodes above all: ``python -m local.cluster.pool_controller DIRECTORY``.

It compares the wanted pools with the nodes again and again, woken by changes of pods and nodes, and remembers
nothing that it could not lose: decisions are in ``autoscaler``, config in the API server and in the pools'
files.
"""

import contextlib
import logging
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm_serving.planning.simulation import cluster_autoscaler, compute_class
from llm_serving.planning.simulation.cluster_autoscaler import NewNode, ScaleUp
from llm_serving.planning.simulation.node_pool import SHAPE_ANNOTATION, NodePool, is_ready, pool_of, zone_of
from local.cluster import disks, identities, load_balancers, pod_startup, pool_store, rest, simulated_nodes
from local.cluster.bucket_weights import BucketWeights
from local.cluster.config import ClusterConfig
from local.cluster.controller_runtime import ChangeSignal, Informer, event, log_to_stdout
from local.cluster.errors import ClusterError
from local.cluster.layout import POOL_CONTROLLER, Layout

_LOG = logging.getLogger(POOL_CONTROLLER)
_ALPHABET = "0123456789bcdfghjklmnpqrstvwxyz"
_POLL = 0.25
"""How often the pools' files are looked at, which costs no request, and the shortest time between two comparisons, in
seconds.
"""
_IDLE = 10.0
"""The longest time between two comparisons; empty nodes are noticed by it."""
_TRUST = 20.0
"""After so many seconds a pod that seems to fit on a node and is not bound does not fit."""
_EVENT_PAUSE = 30.0
_SOURCE = "cluster-autoscaler"
_DELETION_TAINT = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}


@dataclass
class PoolController:
    """One cluster's pools."""

    layout: Layout
    client: rest.Kubernetes
    empty_since: dict[str, float] = field(default_factory=dict)
    seemed_to_fit: dict[str, float] = field(default_factory=dict)
    reported: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The last message about a pod and when it was written, by the pod's uid."""
    surge: dict[str, str] = field(default_factory=dict)
    """Old node that is being replaced, by pool."""
    recorded: set[str] = field(default_factory=set)
    """Uids of loaders' Jobs whose weights are known to be in their bucket."""
    blocked: set[str] = field(default_factory=set)
    """Uids of pods that may not start."""

    def reconcile(self) -> None:
        """Compare once and do what is missing."""
        wanted = pool_store.read_all(self.layout.pools)
        nodes = self.client.list("v1", "Node")
        pods = self.client.list("v1", "Pod")
        self._start_pods(pods, {node["metadata"]["name"] for node in nodes if simulated_nodes.is_simulated(node)})
        by_pool: dict[str, list[rest.Object]] = {pool.name: [] for pool in wanted}
        for node in nodes:
            name = pool_of(node)
            if name is not None and not node["metadata"].get("deletionTimestamp"):
                by_pool.setdefault(name, []).append(node)
        for name, stray in by_pool.items():
            if name not in {pool.name for pool in wanted}:
                self._remove(stray, pods)
        for pool in wanted:
            if pool.deleted:
                self._delete_pool(pool, by_pool[pool.name], pods)
                continue
            self._update_nodes(pool, by_pool[pool.name])
            for new in cluster_autoscaler.nodes_to_minimum(pool, by_pool[pool.name]):
                by_pool[pool.name].append(self._create(pool, new))
            self._replace_outdated(pool, by_pool[pool.name], pods)
        everything = [node for node in nodes if pool_of(node) is None]
        everything += [node for group in by_pool.values() for node in group]
        if ClusterConfig.read(self.layout).karpenter is None:  # a cluster has one autoscaler
            self._scale(wanted, everything, by_pool, pods)

    def balance(self) -> None:
        """Give load balancers their addresses."""
        services = self.client.list("v1", "Service")
        taken = load_balancers.addresses(services)
        for service in filter(load_balancers.is_waiting, services):
            try:
                address = load_balancers.address(service, taken)
            except LookupError as error:
                _LOG.warning("%s", error)
                return
            taken.add(address)
            self.client.patch(service, {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}, "status")

    def provide_disks(self) -> None:
        """Make the disks that claims wait for, of the classes of the cloud's own CSI drivers, and remove those whose
        claim has gone."""
        drivers = {each["metadata"]["name"] for each in self.client.list("storage.k8s.io/v1", "CSIDriver")}
        for volume in self.client.list("v1", "PersistentVolume"):
            if disks.is_done_with(volume, drivers):
                self.client.delete(volume)
        waiting = [claim for claim in self.client.list("v1", "PersistentVolumeClaim") if disks.lacks_volume(claim)]
        listed = self.client.list("storage.k8s.io/v1", "StorageClass") if waiting else []
        classes = {each["metadata"]["name"]: each for each in listed if each["provisioner"] in drivers}
        for claim in waiting:
            storage_class = classes.get(claim["spec"].get("storageClassName") or "")
            if storage_class is None or (name := disks.node_of(claim, storage_class)) is None:
                continue
            node = self.client.find("v1", "Node", name) if name else None
            zone = "" if node is None else zone_of(node)
            with _passing_over_changes():
                self.client.create(disks.disk_for(claim, storage_class, zone))

    # Pods

    def _start_pods(self, pods: list[rest.Object], simulated: set[str]) -> None:
        """Let the pods of simulated nodes start that have what they need, and say of the others what is missing. KWOK
        does the rest."""
        weights = self._weights()
        self.blocked = set()
        for pod in pods:
            if pod["spec"].get("nodeName") not in simulated or not _waits_to_start(pod):
                continue
            namespace = pod["metadata"]["namespace"]
            obstacle = pod_startup.find_obstacle(
                pod,
                lambda kind, name, namespace=namespace: self.client.find("v1", kind, name, namespace),
                None if weights is None else weights.find,
            )
            with _passing_over_changes():
                if obstacle is None:
                    self._patch_status(pod, {"conditions": _with_may_start(pod)})
                    continue
                self.blocked.add(pod["metadata"]["uid"])
                if obstacle.container:
                    self._patch_status(pod, pod_startup.blocked_status(pod, obstacle))
                else:
                    self._event(pod, obstacle.reason, obstacle.message, component="kubelet", warning=True)

    def _weights(self) -> BucketWeights | None:
        """What buckets hold now. Loaders are looked at after pods were listed: a pod that was made once its weights
        were there is never held back."""
        folder = ClusterConfig.read(self.layout).bucket_weights
        if folder is None:
            return None
        weights = BucketWeights(Path(folder))
        for job in self.client.list("batch/v1", "Job"):
            if job["metadata"]["uid"] not in self.recorded and (loaded := [*pod_startup.loaded_weights(job)]):
                self.recorded.add(job["metadata"]["uid"])
                for each in loaded:
                    if weights.put(each.bucket, each.prefix, each.revision or ""):
                        _LOG.info("weights of %s are in %s/%s", each.revision, each.bucket, each.prefix)
        return weights

    def _patch_status(self, pod: rest.Object, status: dict[str, Any]) -> None:
        if {key: pod["status"].get(key) for key in status} != status:
            self.client.patch(pod, {"status": status}, "status")

    # Up and down

    def _scale(
        self,
        wanted: list[NodePool],
        nodes: list[rest.Object],
        by_pool: Mapping[str, list[rest.Object]],
        pods: list[rest.Object],
    ) -> None:
        now = time.monotonic()
        misjudged = [uid for uid, since in self.seemed_to_fit.items() if now - since > _TRUST]
        waiting = any(cluster_autoscaler.is_unschedulable(pod) for pod in pods)
        plan = cluster_autoscaler.plan_scale_up(pods, nodes, wanted, self._classes() if waiting else {}, misjudged)
        self.seemed_to_fit = {
            uid: self.seemed_to_fit.get(uid, now)
            for uid in {
                *plan.fits,
                *(uid for uid in misjudged if uid in plan.refused or uid in plan.triggered),
            }
        }
        by_name = {pool.name: pool for pool in wanted}
        sizes = {name: len(group) for name, group in by_pool.items()}
        for new in plan.nodes:
            self._create(by_name[new.pool], new)
        self._report(plan, pods, by_name, sizes)
        self._scale_down(wanted, by_pool, pods, set(plan.fits.values()), now)

    def _classes(self) -> dict[str, rest.Object]:
        try:
            classes = self.client.list(compute_class.API_VERSION, compute_class.KIND)
        except rest.UnknownKindError:
            return {}
        return {item["metadata"]["name"]: item for item in classes}

    def _scale_down(
        self,
        wanted: list[NodePool],
        by_pool: Mapping[str, list[rest.Object]],
        pods: list[rest.Object],
        reserved: set[str],
        now: float,
    ) -> None:
        busy = cluster_autoscaler.busy_nodes(pods)
        ours = [node["metadata"]["name"] for group in by_pool.values() for node in group]
        self.empty_since = {n: self.empty_since.get(n, now) for n in ours if n not in busy and n not in reserved}
        delay = ClusterConfig.read(self.layout).scale_down_delay()
        for pool in wanted:
            if pool.deleted or pool.name in self.surge:
                continue
            names = cluster_autoscaler.removable_nodes(
                pool, by_pool[pool.name], pods, self.empty_since, now, delay, reserved
            )
            for node in by_pool[pool.name]:
                if node["metadata"]["name"] in names:
                    self._remove_if_still_empty(node)

    def _remove_if_still_empty(self, node: rest.Object) -> None:
        """Keep the scheduler away first; only then is "empty" sure."""
        name = node["metadata"]["name"]
        before = node["spec"].get("taints") or []
        self.client.patch(node, {"spec": {"taints": [*before, _DELETION_TAINT]}})
        time.sleep(0.2)  # a pod that the scheduler is binding right now
        now = [
            p
            for p in self.client.list("v1", "Pod", fields=f"spec.nodeName={name}")
            if cluster_autoscaler.is_running_on_node(p)
        ]
        if any(not cluster_autoscaler.is_daemon_set_pod(pod) for pod in now):
            self.client.patch(node, {"spec": {"taints": before}})
            return
        _LOG.info("node %s is no longer needed", name)
        self._remove([node], now)

    # Nodes

    def _create(self, pool: NodePool, new: NewNode) -> rest.Object:
        ending = "".join(secrets.choice(_ALPHABET) for _ in range(4))
        node = simulated_nodes.create(self.client, pool.node(ending, new.zone))
        _LOG.info("pool %s: node %s in %s", pool.name, node["metadata"]["name"], new.zone)
        return node

    def _remove(self, nodes: list[rest.Object], pods: list[rest.Object]) -> None:
        for node in nodes:
            simulated_nodes.remove(self.client, node, pods)
            self.empty_since.pop(node["metadata"]["name"], None)

    def _delete_pool(self, pool: NodePool, nodes: list[rest.Object], pods: list[rest.Object]) -> None:
        for node in nodes:
            self.client.patch(node, {"spec": {"unschedulable": True}})
        self._remove(nodes, pods)
        if not nodes:
            _LOG.info("pool %s is gone", pool.name)
            pool_store.forget(self.layout.pools, pool.name)

    def _update_nodes(self, pool: NodePool, nodes: list[rest.Object]) -> None:
        """Labels and taints change on nodes that run, as on the clouds."""
        for node in nodes:
            labels = node["metadata"].get("labels") or {}
            wanted = pool.node_labels(node["metadata"]["name"], zone_of(node) or pool.zones[0])
            change: dict[str, Any] = {}
            ours = _our_labels(node)
            if {k: labels.get(k) for k in wanted} != wanted or ours - wanted.keys():
                gone = dict.fromkeys(ours - wanted.keys())
                change["metadata"] = {
                    "labels": {**gone, **wanted},
                    "annotations": {_LABELS_ANNOTATION: ",".join(sorted(wanted))},
                }
            taints = node["spec"].get("taints") or []
            transient = [t for t in taints if _is_transient(t)]
            kept = [
                {k: v for k, v in t.items() if k in ("key", "value", "effect")} for t in taints if t not in transient
            ]
            if sorted(kept, key=str) != sorted(pool.node_taints(), key=str):
                change["spec"] = {"taints": [*pool.node_taints(), *transient]}
            if change:
                self.client.patch(node, change)

    def _replace_outdated(self, pool: NodePool, nodes: list[rest.Object], pods: list[rest.Object]) -> None:
        """One node at a time: the new one first, then the old one is drained (surge upgrade)."""
        old = self.surge.get(pool.name)
        if old is not None:
            ready = [n for n in nodes if _shape(n) == pool.shape() and is_ready(n)]
            leaving = [n for n in nodes if n["metadata"]["name"] == old]
            if leaving and not ready:
                return
            self._remove(leaving, pods)
            del self.surge[pool.name]
            return
        outdated = [n for n in nodes if _shape(n) != pool.shape()]
        if outdated:
            node = outdated[0]
            zone = zone_of(node) or pool.zones[0]
            nodes.append(self._create(pool, NewNode(pool.name, zone)))
            self.surge[pool.name] = node["metadata"]["name"]

    # Events

    def _report(
        self,
        plan: ScaleUp,
        pods: list[rest.Object],
        by_name: Mapping[str, NodePool],
        sizes: Mapping[str, int],
    ) -> None:
        added: dict[str, int] = {}
        for new in plan.nodes:
            added[new.pool] = added.get(new.pool, 0) + 1
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if (pool := plan.triggered.get(uid)) is not None:
                size, maximum = sizes[pool], by_name[pool].max
                message = f"pod triggered scale-up: [{{{pool} {size}->{size + added.get(pool, 0)} (max: {maximum})}}]"
                self._event(pod, "TriggeredScaleUp", message)
            elif (reasons := plan.refused.get(uid)) is not None:
                self._event(pod, "NotTriggerScaleUp", cluster_autoscaler.not_triggered_message(reasons))
        alive = {pod["metadata"]["uid"] for pod in pods}
        self.reported = {uid: report for uid, report in self.reported.items() if uid in alive}

    def _event(
        self, pod: rest.Object, reason: str, message: str, *, component: str = _SOURCE, warning: bool = False
    ) -> None:
        uid, now = pod["metadata"]["uid"], time.monotonic()
        last_message, written_at = self.reported.get(uid, ("", 0.0))
        if last_message == message and now - written_at < _EVENT_PAUSE:
            return
        self.reported[uid] = (message, now)
        self.client.create(event(pod, reason, message, component=component, warning=warning))


_LABELS_ANNOTATION = "local.llm-serving.dev/labels"


def _our_labels(node: rest.Object) -> set[str]:
    """The labels that an earlier change put on a node."""
    noted = (node["metadata"].get("annotations") or {}).get(_LABELS_ANNOTATION, "")
    return set(noted.split(",")) - {""}


def _waits_to_start(pod: rest.Object) -> bool:
    may_start = any(each["type"] == pod_startup.MAY_START for each in pod["status"].get("conditions") or [])
    return pod["status"].get("phase") == "Pending" and not may_start and "deletionTimestamp" not in pod["metadata"]


def _with_may_start(pod: rest.Object) -> list[dict[str, Any]]:
    timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": pod_startup.MAY_START, "status": "True", "lastTransitionTime": timestamp}
    return [*(pod["status"].get("conditions") or []), condition]


@contextlib.contextmanager
def _passing_over_changes() -> Iterator[None]:
    """An object that has gone or changed in the meantime is looked at again when its change is noticed."""
    try:
        yield
    except rest.ApiError as error:
        if error.status not in (404, 409):
            raise


def _shape(node: rest.Object) -> str | None:
    return (node["metadata"].get("annotations") or {}).get(SHAPE_ANNOTATION)


def _is_transient(taint: Mapping[str, Any]) -> bool:
    """It comes from Kubernetes or from us while a node comes or goes, not from the pool."""
    return taint["key"].startswith("node.kubernetes.io/") or taint["key"] == _DELETION_TAINT["key"]


def _is_no_heartbeat(change: Mapping[str, Any]) -> bool:
    """A heartbeat also modifies a node; taints that come and go are what matters."""
    return change["type"] != "MODIFIED" or bool((change["object"].get("spec") or {}).get("taints"))


def main(arguments: list[str]) -> int:
    """Compare for ever."""
    log_to_stdout()
    layout = Layout(Path(arguments[0]))
    client = identities.connect(layout, POOL_CONTROLLER, field_manager="cluster-autoscaler")
    controller = PoolController(layout, client)
    signal = ChangeSignal(gather_seconds=_POLL)
    for kind in ("Pod", "Service", "PersistentVolumeClaim"):
        Informer(client, "v1", kind, signal).start()
    Informer(client, "v1", "Node", signal, matters=_is_no_heartbeat).start()
    Informer(client, "batch/v1", "Job", signal).start()
    compared_files: object = None
    compared_at = 0.0
    while True:
        try:
            changed = signal.wait(_POLL)
        except ClusterError as error:
            print(f"pools are not kept: {error}", file=sys.stderr, flush=True)
            return 1
        files, now = _modification_times(layout.pools), time.monotonic()
        soon = bool(controller.surge or controller.empty_since or controller.blocked)
        if changed or files != compared_files or now - compared_at > (1.0 if soon else _IDLE):
            compared_files, compared_at = files, now
            try:
                controller.balance()
                controller.provide_disks()
                controller.reconcile()
            except (rest.ApiError, rest.UnreachableError) as error:
                _LOG.warning("%s: will try again", error)
                compared_files = None
                time.sleep(1.0)


def _modification_times(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.json"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
