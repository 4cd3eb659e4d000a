"""The simulation says what the scheduler would say."""

from decimal import Decimal

import pytest

from llm_serving.planning.simulation import scheduling
from llm_serving.planning.simulation.scheduling import NodeInfo, pod_requests, rejection_reasons
from tests.unit.planning.simulation.builders import GPU_TAINT, TOLERATES_GPU, gpu_pool, node_of, pod


def node_info(pool=None, pods=(), zone=None, ending="n1"):
    return NodeInfo.of_node(node_of(pool or gpu_pool(), ending, zone), pods)


def rejections(a_pod, *nodes):
    return rejection_reasons(a_pod, nodes[0], nodes)


def test_a_gpu_pod_that_tolerates_the_taint_fits():
    assert rejections(pod(gpus=1, tolerations=TOLERATES_GPU), node_info()) == []


def test_an_untolerated_taint_keeps_a_pod_away():
    (reason,) = rejections(pod(gpus=1), node_info())
    assert "untolerated taint" in reason
    assert "nvidia.com/gpu" in reason


def test_the_second_gpu_pod_does_not_fit_on_one_gpu():
    full = node_info(pods=[pod("first", gpus=1, node="n")])
    assert rejections(pod(gpus=1, tolerations=TOLERATES_GPU), full) == ["Insufficient nvidia.com/gpu"]


def test_a_taint_of_a_starting_node_does_not_count():
    node = node_of(gpu_pool())
    node["spec"]["taints"] = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    starting = NodeInfo.of_node(node, [])
    assert rejections(pod(), starting) == []


def test_a_cordoned_node_counts_as_tainted():
    node = node_of(gpu_pool())
    node["spec"]["taints"] = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    assert rejections(pod(), NodeInfo.of_node(node, []))


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "llm-serving.dev/pool", "operator": "In", "values": ["gpu", "other"]}, True),
        ({"key": "llm-serving.dev/pool", "operator": "NotIn", "values": ["gpu"]}, False),
        ({"key": "missing", "operator": "NotIn", "values": ["gpu"]}, True),
        ({"key": "missing", "operator": "Exists"}, False),
        ({"key": "missing", "operator": "DoesNotExist"}, True),
        ({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["europe-west4-b"]}, False),
    ],
)
def test_required_node_affinity_decides(expression, fits):
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    affine_pod = pod(tolerations=TOLERATES_GPU, affinity=affinity)
    assert (rejections(affine_pod, node_info()) == []) is fits


@pytest.mark.parametrize(
    ("operator", "generation", "holds"),
    [("Gt", "8", True), ("Gt", "7", False), ("Lt", "6", True), ("Lt", None, False), ("Gt", "new", False)],
)
def test_numbers_in_labels_are_compared_as_numbers(operator, generation, holds):
    assert scheduling.requirement_holds(operator, ["7"], generation) is holds


def test_an_operator_that_is_not_known_never_holds():
    assert not scheduling.requirement_holds("Near", ["7"], "7")


def test_an_empty_affinity_term_matches_nothing():
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}
    assert rejections(pod(tolerations=TOLERATES_GPU, affinity=affinity), node_info()) == [
        scheduling.REASON_NODE_AFFINITY
    ]


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
    ],
)
def test_tolerations_match_key_value_and_effect(toleration, tolerated):
    assert (scheduling.untolerated_taint([toleration], [GPU_TAINT]) is None) is tolerated


def test_requests_are_the_larger_of_containers_and_init_containers():
    init = [
        {"name": "load", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}},
        {"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
    ]
    needs = pod_requests(pod(cpu="2", initContainers=init))
    assert needs["cpu"] == Decimal(3)  # the init container alone needs more than 2 + 0.5 after it
    assert needs["memory"] == Decimal(2**30)
    assert needs["pods"] == 1


def test_a_sidecar_counts_on_top_of_what_starts_after_it():
    init = [
        {"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
        {"name": "load", "resources": {"requests": {"cpu": "3"}}},
    ]
    assert pod_requests(pod(cpu="2", initContainers=init))["cpu"] == Decimal(4)


def test_replicas_that_avoid_each_other_need_nodes_of_their_own():
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "m"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pool = gpu_pool(taints=())
    first = pod("first", labels={"app": "m"}, node="gpu-n1", affinity=affinity)
    second = pod("second", labels={"app": "m"}, affinity=affinity)
    used, empty = node_info(pool, [first]), node_info(pool, ending="n2")
    assert rejection_reasons(second, used, [used, empty]) == [scheduling.REASON_ANTI_AFFINITY]
    assert rejection_reasons(second, empty, [used, empty]) == []


def test_hard_topology_spread_counts_domains():
    rule = {
        "topologyKey": "topology.kubernetes.io/zone",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "m"}},
    }
    pool = gpu_pool(taints=())
    first = pod("first", labels={"app": "m"}, node="gpu-n1")
    second = pod("second", labels={"app": "m"}, topologySpreadConstraints=[rule])
    a, b = node_info(pool, [first]), node_info(pool, zone="europe-west4-b", ending="n2")
    assert rejection_reasons(second, a, [a, b]) == [scheduling.REASON_TOPOLOGY_SPREAD]
    assert rejection_reasons(second, b, [a, b]) == []
