"""The nodes of Karpenter's machines: ``python -m local.cluster.karpenter.nodes DIRECTORY``.

On EKS the kubelet of an instance registers its Node, and the cloud's node controller removes one whose instance has
gone. Here this process does both: a Node for each NodeClaim that has an instance, with what the NodeClaim says of it;
KWOK goes on as its kubelet. All else is Karpenter's: labels, taints, draining, the end of the instance.
"""

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from llm_serving.planning.simulation.node_pool import HOSTNAME, REGION, ZONE, pool_of, region_of
from local.aws.api import client as aws_client
from local.cluster import identities, rest, simulated_nodes
from local.cluster.config import ClusterConfig
from local.cluster.controller_runtime import ChangeSignal, Informer, log_to_stdout
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout

_LOG = logging.getLogger(identities.KARPENTER_NODES)
_POLL = 2.0
"""Seconds after which EC2, which tells nobody of its own accord, is asked what still runs; the node controller of
AWS asks every 5 (`--node-monitor-period`)."""
_ALIVE = ("pending", "running")
_UNREGISTERED = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
"""The user data of Karpenter's instances lets the kubelet register with it: until Karpenter has put labels and taints
on the node, no pod may get there."""


def node_of(claim: rest.Object, hostname: str) -> dict[str, Any]:
    """The Node that the machine of a NodeClaim registers as.

    Args:
        claim: with its status: the machine's id, resources, zone.
        hostname: name of the machine in its network.
    """
    spec, status = claim["spec"], claim["status"]
    labels = {**claim["metadata"].get("labels", {}), HOSTNAME: hostname}
    taints = [*spec.get("taints", []), *spec.get("startupTaints", []), _UNREGISTERED]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": hostname, "labels": {REGION: region_of(labels.get(ZONE, "")), **labels}},
        "spec": {"providerID": status["providerID"], "taints": taints},
        "status": {"capacity": status["capacity"], "allocatable": status["allocatable"]},
    }


def reconcile(
    client: rest.Kubernetes, claims: list[rest.Object], nodes: list[rest.Object], machines: Mapping[str, str]
) -> None:
    """Compare once and do what is missing.

    Args:
        client: connection to the API server.
        claims: the NodeClaims.
        nodes: the Nodes.
        machines: id and name in the network of the instances that run.
    """
    known = {_provider_id(node) for node in nodes}
    for claim in claims:
        provider_id = claim.get("status", {}).get("providerID", "")
        hostname = machines.get(_instance(provider_id))
        if hostname and provider_id not in known and "deletionTimestamp" not in claim["metadata"]:
            simulated_nodes.create(client, node_of(claim, hostname))
            _LOG.info("NodeClaim %s: node %s", claim["metadata"]["name"], hostname)
    for node in nodes:
        instance, leaving = _instance(_provider_id(node)), "deletionTimestamp" in node["metadata"]
        if _is_machine(node) and instance not in machines and not leaving:
            name = node["metadata"]["name"]
            _LOG.info("instance %s has gone, and with it node %s", instance, name)
            simulated_nodes.remove(client, node, client.list("v1", "Pod", fields=f"spec.nodeName={name}"))


def _is_machine(node: rest.Object) -> bool:
    """It was made here: the nodes of node groups, which have no instance in EC2, are of the ``pool_controller``."""
    return simulated_nodes.is_simulated(node) and pool_of(node) is None


def _provider_id(node: rest.Object) -> str:
    return node["spec"].get("providerID", "")


def _instance(provider_id: str) -> str:
    """``i-...`` of ``aws:///us-east-1a/i-...``."""
    return provider_id.rpartition("/")[2]


def _machines(ec2: Any) -> dict[str, str]:
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": list(_ALIVE)}]
    )
    return {
        instance["InstanceId"]: instance["PrivateDnsName"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def main(arguments: list[str]) -> int:
    """Compare for ever."""
    log_to_stdout()
    layout = Layout(Path(arguments[0]))
    options = ClusterConfig.read(layout).karpenter
    assert options is not None
    ec2 = aws_client(options.aws, "ec2", options.region)
    client = identities.connect(layout, identities.KARPENTER_NODES)
    signal = ChangeSignal()
    claims = Informer(client, "karpenter.sh/v1", "NodeClaim", signal).start()
    nodes = Informer(client, "v1", "Node", signal, matters=lambda change: change["type"] != "MODIFIED").start()
    while True:
        try:
            signal.wait(_POLL)
        except ClusterError as error:
            print(f"machines of Karpenter get no nodes: {error}", file=sys.stderr, flush=True)
            return 1
        existing, registered = claims.objects() or [], nodes.objects() or []
        if not existing and not any(map(_is_machine, registered)):
            continue
        try:
            reconcile(client, existing, registered, _machines(ec2))
        except (rest.ApiError, rest.UnreachableError, BotoCoreError, ClientError) as error:
            _LOG.warning("%s: will try again", error)
            time.sleep(1.0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
