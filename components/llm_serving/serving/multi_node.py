"""Instances of more than one node: a LeaderWorkerSet whose replicas are groups of pods, one pod a node.

The leader of a group answers the API; its workers run the engine without one. A group lives and dies as one: when a
container of it restarts or a pod of it goes, LeaderWorkerSet makes the whole group anew, for the engine's processes
cannot take a lost peer back. Owns the object's spec and what tells leader and workers apart. Leaves alone: the pods
(``pod.py``), the command lines (``engines``), every number.

LeaderWorkerSet puts ``LWS_LEADER_ADDRESS``, ``LWS_GROUP_SIZE`` and ``LWS_WORKER_INDEX`` before every other variable of
each container (its pod webhook, pkg/utils/pod), so ``$(LWS_LEADER_ADDRESS)`` in a command is expanded by Kubernetes.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from llm_serving.component import child
from llm_serving.contract import DOMAIN
from llm_serving.serving.rollout import Rollout

API_VERSION = "leaderworkerset.x-k8s.io/v1"
KIND = "LeaderWorkerSet"

ROLE = f"{DOMAIN}/group-role"
LEADER_ROLE, WORKER_ROLE = "leader", "worker"

LONGEST_NAME = 48
"""Of the set: the pods of a group's workers carry the label ``<set>-<group>-<revision>``, whose value has 63 characters
at most (10 of them the revision's, 3 the group's number)."""

_RECREATE_AFTER_START = {"leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start": "true"}
"""A group is made anew only once none of its pods is pending. Without it, a worker that gives up waiting for one that
still pulls its image ends the pull of all, again and again (LeaderWorkerSet 0.8,
https://github.com/kubernetes-sigs/lws/pull/725)."""

_WAIT_FOR_AVAILABLE = {"pulumi.com/waitFor": "condition=Available"}
"""The provider waits for no custom resource on its own; this condition holds while every group is ready."""


def leaders(selector: Mapping[str, str]) -> dict[str, str]:
    """Labels that select the leaders, which answer requests, among the pods of ``selector``."""
    return {**selector, ROLE: LEADER_ROLE}


def leader(template: core.v1.PodTemplateSpecArgs) -> core.v1.PodTemplateSpecArgs:
    """The pod of a leader: ``template`` with the label of its role."""
    return _with_role(template, LEADER_ROLE)


def worker(
    template: core.v1.PodTemplateSpecArgs, command: Sequence[pulumi.Input[str]], outlasts_seconds: pulumi.Input[int]
) -> core.v1.PodTemplateSpecArgs:
    """The pod of a worker: as the leader's, without port and probes.

    Args:
        template: pod of an instance of one node.
        command: the engine's command line for a worker. No launcher: there is no API to watch, and a worker whose
            leader is gone ends by itself.
        outlasts_seconds: how long the leader may take to finish its requests. A worker ends at once on SIGTERM, so the
            signal comes after that time, or with the end of the leader.
    """
    worker_template = _with_role(template, WORKER_ROLE)
    spec = copy.copy(cast(core.v1.PodSpecArgs, worker_template.spec))
    (engine,) = cast(Sequence[core.v1.ContainerArgs], spec.containers)
    engine = copy.copy(engine)
    engine.command = list(command)
    engine.ports = None
    engine.startup_probe = engine.readiness_probe = engine.liveness_probe = None
    engine.lifecycle = core.v1.LifecycleArgs(
        pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=outlasts_seconds))
    )
    spec.containers = [engine]
    worker_template.spec = spec
    return worker_template


def group_spec(
    leader: core.v1.PodTemplateSpecArgs,
    worker: core.v1.PodTemplateSpecArgs,
    *,
    nodes: int,
    replicas: int,
    rollout: Rollout,
) -> dict[str, Any]:
    """The spec of a LeaderWorkerSet.

    Args:
        leader: pod of a leader.
        worker: pod of a worker.
        nodes: pods of a group, the leader's included.
        replicas: groups, or those to start with.
        rollout: in which order groups are replaced; its instances are groups.
    """
    return {
        "replicas": replicas,
        # All pods of a group at once: the leader is ready only when its workers have joined.
        "startupPolicy": "LeaderCreated",
        # A Service of its own for each group, under the name of its leader. The shared one would have the set's name,
        # which the release's Service has.
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {
                "maxSurge": rollout.max_surge,
                "maxUnavailable": rollout.max_unavailable,
            },
        },
        "leaderWorkerTemplate": {
            "size": nodes,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": leader,
            "workerTemplate": worker,
        },
    }


def leader_worker_set(
    parent: pulumi.Resource,
    name: str,
    metadata: meta.v1.ObjectMetaArgs,
    spec: dict[str, Any],
    rollout: Rollout,
    after: Sequence[pulumi.Resource] = (),
    scaled: bool = False,
) -> apiextensions.CustomResource:
    """Register a LeaderWorkerSet; it is there when every group answers, where the rollout is awaited.

    Args:
        parent: the component that it belongs to.
        name: in the program.
        metadata: of the object; its annotations are a dictionary.
        spec: as :func:`group_spec` makes it.
        rollout: how long to wait.
        after: resources that its pods need.
        scaled: an autoscaler says how many groups there are.
    """
    metadata = copy.copy(metadata)
    annotations = pulumi.Output.from_input(metadata.annotations)
    own = {**(_WAIT_FOR_AVAILABLE if rollout.awaited else {}), **_RECREATE_AFTER_START}
    metadata.annotations = annotations.apply(lambda annotations: {**(annotations or {}), **own})
    return apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind=KIND,
        metadata=metadata,
        spec=spec,
        opts=child(
            parent,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=f"{rollout.create}s", update=f"{rollout.update}s"),
            # What is new starts with as many as the program says; from then on the autoscaler owns the number.
            ignore_changes=["spec.replicas"] if scaled else [],
        ),
    )


def _with_role(template: core.v1.PodTemplateSpecArgs, role: str) -> core.v1.PodTemplateSpecArgs:
    """A copy with the label of a role; what was handed in stays as it is."""
    labelled = copy.copy(template)
    metadata = copy.copy(cast(meta.v1.ObjectMetaArgs, labelled.metadata))
    metadata.labels = pulumi.Output.from_input(metadata.labels).apply(lambda labels: {**(labels or {}), ROLE: role})
    labelled.metadata = metadata
    return labelled
