"""The real Karpenter on a real control plane gets machines from the local AWS: which, when none, and when they go.

Karpenter remembers for three minutes what EC2 did not have, so each test wants a machine type of its own.
"""

import pytest

from llm_serving.cloud.aws import karpenter
from llm_serving.planning.simulation.node_pool import pool_of
from local.cluster import NodePool
from tests.engine.cluster.helpers import gpu_pod
from tests.engine.karpenter import lab
from tests.engine.karpenter.lab import RESERVATION


def test_node_pools_are_tried_in_the_order_of_their_weights(api, account, watched, node_pool, namespace):
    account.lacks({"machine": "g6.xlarge", "market": "spot"})
    node_pool("reserved", "g6.xlarge", "reserved", pool="order", weight=30)
    node_pool("spot", "g6.xlarge", "spot", pool="order", weight=20)
    node_pool("on-demand", "g6.xlarge", "on-demand", pool="order", weight=10)
    api.create(gpu_pod(namespace, "a", "order"))
    watched.until(lambda: watched.pool_of(namespace, "a") == "reserved")
    (reserved,) = account.instances("reserved")
    assert reserved["CapacityReservationId"] == RESERVATION["id"]
    assert reserved["Placement"]["AvailabilityZone"] == RESERVATION["zone"]

    api.create(gpu_pod(namespace, "b", "order"))
    watched.until(lambda: watched.pool_of(namespace, "b") == "on-demand")
    assert account.instances("spot") == []
    (instance,) = account.instances("on-demand")
    (node,) = watched.nodes("on-demand")
    labels, status = node["metadata"]["labels"], node["status"]
    assert node["spec"]["providerID"].endswith(instance["InstanceId"])
    assert labels["node.kubernetes.io/instance-type"] == instance["InstanceType"] == "g6.xlarge"
    assert labels["topology.kubernetes.io/zone"] == instance["Placement"]["AvailabilityZone"]
    assert labels["karpenter.sh/capacity-type"] == "on-demand"
    assert labels["llm-serving.dev/pool"] == "order"
    assert (status["capacity"]["cpu"], status["allocatable"]["nvidia.com/gpu"]) == ("4", "1")


def test_a_pod_beyond_the_limit_waits_and_an_empty_node_goes(api, account, watched, node_pool, namespace):
    node_pool("limited", "g6.2xlarge", "on-demand", pool="limited", gpus=1)
    api.create(gpu_pod(namespace, "a", "limited"))
    watched.until(lambda: watched.pool_of(namespace, "a") == "limited")
    api.create(gpu_pod(namespace, "b", "limited"))
    watched.until(lambda: [m for m in watched.messages(namespace, "b") if "limit" in m])
    assert watched.pool_of(namespace, "b") is None
    assert len(account.instances("limited")) == len(watched.claims("limited")) == 1

    api.delete(gpu_pod(namespace, "a", "limited"))
    watched.until(lambda: watched.pool_of(namespace, "b") == "limited")
    api.delete(gpu_pod(namespace, "b", "limited"))
    watched.until(lambda: not watched.claims("limited") and not watched.nodes("limited"))
    watched.until(lambda: not account.instances("limited"))


def test_a_spot_machine_that_is_to_be_interrupted_is_cordoned_drained_and_terminated(
    api, account, watched, node_pool, namespace
):
    node_pool("interrupted", "g6e.xlarge", "spot", pool="interrupted")
    pod = gpu_pod(namespace, "a", "interrupted")
    api.create({**pod, "metadata": {**pod["metadata"], "labels": {"app": "a"}}})
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "a"}}},
    }
    api.create(budget)
    watched.until(lambda: watched.pool_of(namespace, "a") == "interrupted")
    (instance,) = account.instances("interrupted")
    account.notify(instance["InstanceId"], "spot-interruption")

    def taints():
        return [taint["key"] for node in watched.nodes("interrupted") for taint in node["spec"].get("taints", [])]

    watched.until(lambda: "karpenter.sh/disrupted" in taints())  # and it is drained no further than its budget allows
    assert watched.pool_of(namespace, "a") == "interrupted"
    assert [each["InstanceId"] for each in account.instances("interrupted")] == [instance["InstanceId"]]
    api.delete(budget)
    watched.until(lambda: watched.pod(namespace, "a") is None)
    watched.until(lambda: not watched.nodes("interrupted") and not watched.claims("interrupted"))
    watched.until(lambda: not account.instances("interrupted"))


@pytest.mark.parametrize("event", sorted(karpenter.EVENTS.keys() - {"spot-interruption"}))
def test_what_else_ends_a_machine_reaches_karpenter_by_its_rule(api, account, watched, node_pool, namespace, event):
    node_pool(event, "g6e.8xlarge", "on-demand", pool=event)
    api.create(gpu_pod(namespace, "a", event))
    watched.until(lambda: watched.pool_of(namespace, "a") == event)
    (instance,) = account.instances(event)
    account.notify(instance["InstanceId"], event)
    watched.until(lambda: not watched.claims(event) and not account.instances(event))
    assert watched.pod(namespace, "a") is None


def test_the_node_of_an_instance_that_ec2_ends_of_its_own_accord_goes(
    api, account, cluster, watched, node_pool, namespace
):
    shape = {"cpu": "4", "memory": "16Gi", "pods": "58"}
    cluster.put_pool(
        NodePool("group", 1, 1, shape, shape, ("us-east-1a",), provider_id="aws:///{zone}/{name}")
    )  # a node group, whose nodes EC2 does not know
    cluster.wait_pool("group")

    def group_nodes():
        return [each["metadata"]["name"] for each in api.list("v1", "Node") if pool_of(each) == "group"]

    group = group_nodes()
    node_pool("lost", "g6e.2xlarge", "spot", pool="lost")
    api.create(gpu_pod(namespace, "a", "lost"))
    watched.until(lambda: watched.pool_of(namespace, "a") == "lost")
    (instance,) = account.instances("lost")
    account.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    watched.until(lambda: not watched.nodes("lost") and not watched.claims("lost"))
    assert group_nodes() == group
    cluster.delete_pool("group")


def test_deleted_node_pools_and_their_node_class_leave_nothing(api, account, watched, namespace):
    node_class = api.create(lab.node_class("last"))
    watched.until(lambda: watched.is_ready("EC2NodeClass", "last"))
    node_pool = api.create(lab.node_pool("last", "g6e.4xlarge", "on-demand", pool="last", node_class="last"))
    api.create(gpu_pod(namespace, "a", "last"))
    watched.until(lambda: watched.pool_of(namespace, "a") == "last")
    api.delete(node_pool)
    watched.until(lambda: not watched.claims("last") and not watched.nodes("last"))
    assert watched.pod(namespace, "a") is None
    watched.until(lambda: not account.instances("last"))
    watched.until(lambda: not api.find("karpenter.sh/v1", "NodePool", "last"))
    api.delete(node_class)
    watched.until(lambda: not api.find("karpenter.k8s.aws/v1", "EC2NodeClass", "last"))
    assert account.launch_templates("last") == []
