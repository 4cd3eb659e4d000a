from pulumi_kubernetes import core, meta, policy

from llm_serving.contract import PoolScheduling
from llm_serving.serving.disruption import base_affinity, base_notice, disruption_budget, spread
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid, manifests
from tests.unit.serving.served import SCHEDULING

PODS = {"llm-serving.dev/model": "qwen3-8b", "llm-serving.dev/release": "1.0.0"}


def scheduling(**changes):
    return PoolScheduling.model_validate({**SCHEDULING, **changes})


def render(affinity=None):
    """A pod and a budget, as Kubernetes gets them."""

    def program():
        policy.v1.PodDisruptionBudget("budget", metadata=meta.v1.ObjectMetaArgs(), spec=disruption_budget(PODS))
        spec = core.v1.PodSpecArgs(
            containers=[core.v1.ContainerArgs(name="engine", image="engine")],
            topology_spread_constraints=spread(PODS),
            affinity=affinity,
        )
        core.v1.Pod("pod", metadata=meta.v1.ObjectMetaArgs(), spec=spec)

    recording = record(program)
    assert_valid(recording)
    budget, pod = manifests(recording)
    return budget["spec"], pod["spec"]


def test_one_instance_at_a_time_may_be_ended_and_a_broken_one_always():
    budget, _ = render()
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": PODS},
    }


def test_instances_spread_over_zones_and_nodes_and_never_wait_for_it():
    _, pod = render()
    constraints = pod["topologySpreadConstraints"]
    assert [constraint["topologyKey"] for constraint in constraints] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert all(constraint["whenUnsatisfiable"] == "ScheduleAnyway" for constraint in constraints)
    assert all(constraint["labelSelector"] == {"matchLabels": PODS} for constraint in constraints)


def test_a_base_runs_only_on_nodes_that_are_not_taken_away():
    _, pod = render(base_affinity(scheduling(nonPreemptibleMarkets=["on-demand", "reservation"])))
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "llm-serving.dev/market", "operator": "In", "values": ["on-demand", "reservation"]}
    ]


def test_where_all_nodes_stay_a_base_needs_no_label_that_they_may_not_have():
    assert base_affinity(scheduling()) is None


def test_a_base_need_not_hurry_although_the_rest_of_its_pool_must():
    assert base_notice(scheduling(spotNoticeSeconds=15, nonPreemptibleMarkets=["on-demand"])) is None
    assert base_notice(scheduling(spotNoticeSeconds=15)) == 15
    assert base_notice(scheduling()) is None
