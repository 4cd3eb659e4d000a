"""The autoscaler adds what pods wait for, no more, and removes what nobody uses."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from llm_serving.planning.simulation.cluster_autoscaler import (
    REASON_MAX_SIZE,
    REASON_STOCKOUT,
    nodes_to_minimum,
    not_triggered_message,
    plan_scale_up,
    removable_nodes,
)
from tests.unit.planning.simulation.builders import TOLERATES_GPU, cpu_pool, gpu_pool, node_of, pod


def gpu_pods(count, **spec):
    return [pod(f"p{i}", gpus=1, tolerations=TOLERATES_GPU, **spec) for i in range(count)]


def test_two_gpu_pods_get_two_nodes_and_the_third_is_told_of_the_maximum():
    plan = plan_scale_up(gpu_pods(3), [], [gpu_pool(max=2)], {})
    assert len(plan.nodes) == 2
    assert len(plan.triggered) == 2
    (reasons,) = plan.refused.values()
    assert reasons[REASON_MAX_SIZE] == 1


def test_nodes_are_spread_over_zones():
    plan = plan_scale_up(gpu_pods(4), [], [gpu_pool(max=4)], {})
    assert sorted(n.zone for n in plan.nodes) == ["europe-west4-a"] * 2 + ["europe-west4-b"] * 2


def test_small_pods_share_one_planned_node():
    plan = plan_scale_up([pod(f"p{i}", cpu="1") for i in range(3)], [], [cpu_pool()], {})
    assert len(plan.nodes) == 1
    assert len(plan.triggered) == 3


def test_a_machine_on_its_way_is_waited_for():
    pool = gpu_pool()
    plan = plan_scale_up(gpu_pods(1), [node_of(pool)], [pool], {})
    assert plan.nodes == []
    assert list(plan.fits.values()) == ["gpu-n1"]


def test_a_pod_that_the_scheduler_keeps_refusing_gets_a_node_of_its_own():
    pool = gpu_pool()
    plan = plan_scale_up(gpu_pods(1), [node_of(pool)], [pool], {}, misjudged=["p0"])
    assert len(plan.nodes) == 1


def test_a_pod_that_the_scheduler_has_not_looked_at_adds_nothing():
    assert plan_scale_up([pod(unschedulable=False)], [], [cpu_pool()], {}).nodes == []


def test_a_pod_that_fits_no_pool_is_told_why_by_each():
    plan = plan_scale_up([pod(gpus=1)], [], [gpu_pool(), cpu_pool()], {})
    assert plan.nodes == []
    text = not_triggered_message(plan.refused["p"])
    assert "untolerated taint" in text
    assert "Insufficient nvidia.com/gpu" in text


def test_a_pod_without_gpus_never_buys_one():
    open_gpus = gpu_pool(taints=())
    plan = plan_scale_up([pod()], [], [open_gpus, cpu_pool()], {})
    assert [n.pool for n in plan.nodes] == ["system"]


def compute_class(*priorities, **spec):
    return {"m": {"metadata": {"name": "m"}, "spec": {"priorities": [{"nodepools": [p]} for p in priorities], **spec}}}


def pool_of_class(name, **changes):
    return gpu_pool(name, compute_class="m", labels={"cloud.google.com/compute-class": "m"}, max=1, **changes)


def test_pools_are_tried_in_the_order_of_the_compute_class():
    pools = [pool_of_class("ondemand"), pool_of_class("spot")]
    pods = gpu_pods(2, nodeSelector={"cloud.google.com/compute-class": "m"})
    plan = plan_scale_up(pods, [], pools, compute_class("spot", "ondemand"))
    assert [n.pool for n in plan.nodes] == ["spot", "ondemand"]


def test_a_stockout_leads_to_the_next_priority():
    pools = [pool_of_class("ondemand"), pool_of_class("spot", stockout=True)]
    pods = gpu_pods(2, nodeSelector={"cloud.google.com/compute-class": "m"})
    plan = plan_scale_up(pods, [], pools, compute_class("spot", "ondemand"))
    assert [n.pool for n in plan.nodes] == ["ondemand"]
    (reasons,) = plan.refused.values()
    assert reasons[REASON_STOCKOUT] == 1
    assert reasons[REASON_MAX_SIZE] == 1


def test_a_pool_outside_of_the_priorities_is_used_only_where_the_class_allows():
    pools = [pool_of_class("extra")]
    pods = gpu_pods(1, nodeSelector={"cloud.google.com/compute-class": "m"})
    assert plan_scale_up(pods, [], pools, compute_class("spot")).nodes == []
    anyway = compute_class("spot", whenUnsatisfiable="ScaleUpAnyway")
    assert len(plan_scale_up(pods, [], pools, anyway).nodes) == 1


def test_a_priority_counts_the_gpus_of_a_machine_however_many_pods_share_each():
    labels = {
        "cloud.google.com/compute-class": "m",
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-accelerator-count": "1",
    }
    places = {"cpu": "7", "memory": "28Gi", "pods": "110", "nvidia.com/gpu": "4"}
    shared = gpu_pool("shared", compute_class="m", labels=labels, capacity=places, allocatable=places)
    of_class = {"m": {"metadata": {"name": "m"}, "spec": {"priorities": [{"gpu": {"type": "nvidia-l4", "count": 1}}]}}}
    pods = gpu_pods(4, nodeSelector={"cloud.google.com/compute-class": "m"})
    assert [node.pool for node in plan_scale_up(pods, [], [shared], of_class).nodes] == ["shared"]


def test_a_missing_compute_class_is_named():
    pods = gpu_pods(1, nodeSelector={"cloud.google.com/compute-class": "m"})
    plan = plan_scale_up(pods, [], [pool_of_class("spot")], {})
    assert "'m' does not exist" in not_triggered_message(plan.refused["p0"])


def test_higher_priority_is_served_first():
    pods = [pod("low", gpus=1, tolerations=TOLERATES_GPU), pod("high", gpus=1, tolerations=TOLERATES_GPU, priority=9)]
    plan = plan_scale_up(pods, [], [gpu_pool(max=1)], {})
    assert list(plan.triggered) == ["high"]


def test_the_minimum_is_filled_over_zones():
    assert [n.zone for n in nodes_to_minimum(gpu_pool(min=2), [])] == ["europe-west4-a", "europe-west4-b"]


def test_a_pool_that_starts_with_fewer_is_not_filled_to_its_minimum_and_does_not_shrink_below_it():
    """kubernetes/autoscaler#2288: a minimum is heeded when nodes are removed."""
    pool = gpu_pool(min=2, initial=0)
    assert nodes_to_minimum(pool, []) == []
    assert len(nodes_to_minimum(replace(pool, initial=1), [])) == 1
    assert len(nodes_to_minimum(replace(pool, initial=9), [])) == 2
    nodes = [node_of(pool, f"n{index}") for index in range(2)]
    since = {node["metadata"]["name"]: 0.0 for node in nodes}
    assert removable_nodes(pool, nodes, [], since, now=1000.0, delay=1.0) == []


def test_an_empty_node_goes_after_the_delay_and_not_before():
    pool = gpu_pool()
    nodes = [node_of(pool)]
    since = {"gpu-n1": 100.0}
    assert removable_nodes(pool, nodes, [], since, now=159, delay=60) == []
    assert removable_nodes(pool, nodes, [], since, now=160, delay=60) == ["gpu-n1"]


def test_the_minimum_stays_and_used_or_reserved_nodes_stay():
    pool = gpu_pool(min=1)
    nodes = [node_of(pool, e) for e in ("n1", "n2", "n3", "n4")]
    since = dict.fromkeys([n["metadata"]["name"] for n in nodes], 0.0)
    pods = [pod("busy", gpus=1, node="gpu-n1")]
    gone = removable_nodes(pool, nodes, pods, since, now=100, delay=60, reserved=["gpu-n2"])
    assert sorted(gone) == ["gpu-n3", "gpu-n4"]
    assert removable_nodes(replace(pool, min=4, max=4), nodes, pods, since, now=100, delay=60) == []


def test_a_daemon_sets_pod_does_not_keep_a_node():
    pool = gpu_pool()
    agent = pod("agent", node="gpu-n1")
    agent["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "a"}]
    assert removable_nodes(pool, [node_of(pool)], [agent], {"gpu-n1": 0.0}, now=100, delay=60) == ["gpu-n1"]


@given(waiting=st.integers(0, 12), existing=st.integers(0, 4), maximum=st.integers(0, 6))
def test_no_pool_ever_outgrows_its_maximum(waiting, existing, maximum):
    pool = gpu_pool(max=maximum)
    nodes = [node_of(pool, f"n{i}") for i in range(min(existing, maximum))]
    plan = plan_scale_up(gpu_pods(waiting), nodes, [pool], {})
    assert len(nodes) + len(plan.nodes) == min(maximum, max(len(nodes), waiting))
    assert len(plan.triggered) + len(plan.fits) + len(plan.refused) == waiting
