import itertools
import math

import pytest

from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.workload import ReleaseWorkload, WorkloadKind
from llm_serving.serving.scaled_object import PrometheusServer, formula, scaled_object
from llm_serving.serving.scaling_queries import asked_query, scaling_queries
from llm_serving.spec import AutoscalingSpec, EngineName
from tests.unit.serving.crds import assert_valid
from tests.unit.serving.scaling import Fleet, evaluate, hpa

WORKLOAD = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0")
URL = "http://prometheus.monitoring.svc:9090"
OFFICE = {"start": "0 8 * * mon-fri", "end": "0 18 * * mon-fri", "timezone": "Europe/Berlin", "replicas": 6}


def spec(**fields):
    return AutoscalingSpec.model_validate({"min": 1, "max": 100, **fields})


def render(workload=WORKLOAD, **fields):
    return scaled_object(
        workload,
        spec(**fields),
        scaling_queries(engine_metrics(EngineName.VLLM), workload),
        PrometheusServer(URL),
        {"a": "b"},
        asked=asked_query("tiny", "llm-gateway", 15),
    )


def fleet(base=0, slots=256, gpu_utilization=None, start=0, replicas=1, ready=None, **fields):
    autoscaling = spec(gpu_utilization=gpu_utilization, **fields)
    ready = replicas if ready is None else ready
    return Fleet(
        formula(autoscaling, base),
        slots,
        start=start,
        replicas=replicas,
        ready=ready,
        base=base,
        fewest=autoscaling.min,
        most=autoscaling.max,
    )


def settled_replicas(scaled_fleet, load, steps=60, **more):
    """Instances after a long time of the same load."""
    for _ in range(steps):
        scaled_fleet.step(load, **more)
    assert len(set(scaled_fleet.history[-10:])) == 1, f"it goes back and forth: {scaled_fleet.history}"
    return scaled_fleet.replicas


# --- the object


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ttft_seconds": 2, "schedules": [OFFICE]},
        {"gpu_utilization": None},
        {"min": 3, "polling_seconds": 30},
        {"min": 0},
    ],
)
@pytest.mark.parametrize("base", [0, 2])
def test_the_object_is_valid_for_the_pinned_definition(fields, base):
    workload = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0", base=base)
    assert_valid(render(workload, **fields), "keda/keda.sh_scaledobjects.yaml")


def test_every_trigger_has_a_name_that_the_formula_uses_and_the_other_way_round():
    for fields in ({}, {"ttft_seconds": 2}, {"gpu_utilization": None}, {"schedules": [OFFICE, OFFICE]}, {"min": 0}):
        body = render(**fields)["spec"]
        names = [trigger["name"] for trigger in body["triggers"]]
        assert len(set(names)) == len(names)
        written = body["advanced"]["scalingModifiers"]["formula"]
        assert evaluate(written, dict.fromkeys(names, 1.0)) >= 0
        for name in names:
            with pytest.raises(NameError):
                evaluate(written, dict.fromkeys(set(names) - {name}, 1.0))


def test_the_value_is_a_number_of_replicas_and_no_answer_is_a_failure():
    body = render()["spec"]
    modifiers = body["advanced"]["scalingModifiers"]
    assert (modifiers["metricType"], modifiers["target"]) == ("AverageValue", "1")
    assert {trigger["metadata"]["ignoreNullValues"] for trigger in body["triggers"]} == {"false"}
    assert body["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}


def test_the_pace_is_that_of_the_settings():
    pace = {"up_seconds": 30, "up_percent": 50, "down_seconds": 600, "down_percent": 10}
    behavior = render(pace=pace)["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 30
    assert behavior["scaleUp"]["policies"] == [{"type": "Percent", "value": 50, "periodSeconds": 15}]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Percent", "value": 10, "periodSeconds": 60}]


def test_by_default_it_grows_at_once_and_shrinks_slowly():
    behavior = render()["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert behavior["scaleDown"]["policies"][0]["value"] == 50


def test_a_schedule_is_a_cron_trigger_with_its_own_time_zone():
    trigger = render(schedules=[OFFICE])["spec"]["triggers"][-1]
    assert trigger == {
        "type": "cron",
        "name": "schedule_0",
        "metadata": {
            "timezone": "Europe/Berlin",
            "start": "0 8 * * mon-fri",
            "end": "0 18 * * mon-fri",
            "desiredReplicas": "6",
        },
    }


def test_no_instance_goes_while_one_schedule_hands_over_to_the_next():
    def window(*schedules, **fields):
        body = render(schedules=[*schedules], pace={"down_seconds": 0}, **fields)["spec"]
        return body["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"]

    evening = {**OFFICE, "start": OFFICE["end"], "end": "0 22 * * mon-fri"}
    assert window(OFFICE) == 0, "nothing to hand over to"
    assert window(OFFICE, evening) >= 60
    assert window(OFFICE, evening, polling_seconds=120) > 120, "longer than a reading"


def test_the_base_is_part_of_the_bounds_and_is_not_scaled():
    workload = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0", base=2)
    body = render(workload, min=3, max=10)["spec"]
    assert (body["minReplicaCount"], body["maxReplicaCount"], body["fallback"]["replicas"]) == (1, 8, 1)
    assert body["scaleTargetRef"]["name"] == "tiny-1-0-0"
    assert "cooldownPeriod" not in body


def test_with_nothing_beside_the_base_a_prometheus_that_is_away_takes_no_instance():
    workload = ReleaseWorkload("chat", "tiny-1-0-0", "tiny", "1.0.0", base=2)
    body = render(workload, min=2, max=10, polling_seconds=120)["spec"]
    assert body["minReplicaCount"] == 0
    assert body["cooldownPeriod"] > (body["fallback"]["failureThreshold"] + 1) * body["pollingInterval"]


def test_groups_of_nodes_are_scaled_by_their_own_kind():
    workload = ReleaseWorkload("chat", "big-1-0-0", "big", "1.0.0", kind=WorkloadKind.LEADER_WORKER_SET)
    body = render(workload)["spec"]
    assert body["scaleTargetRef"] == {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "name": "big-1-0-0",
    }


# --- the value


def test_at_most_the_queue_depth_waits_an_instance():
    for load, slots in itertools.product((1, 9, 11, 45, 300, 2000), (1, 8, 256)):
        count = settled_replicas(fleet(slots=slots, queue_depth=10, max=1000), load)
        assert load - count * slots <= 10 * count
        if 1 < count < 10:
            assert load - (count - 1) * slots > 10 * (count - 1), "and no instance more than that takes"


def test_a_queue_that_is_short_enough_adds_nothing():
    scaled_fleet = fleet(slots=4, queue_depth=10)
    assert settled_replicas(scaled_fleet, 14) == 1
    assert fleet(slots=4, queue_depth=10).step(15) == 2


def test_instances_are_kept_until_the_others_can_run_everything():
    scaled_fleet = fleet(slots=100, replicas=4)
    assert settled_replicas(scaled_fleet, 400) == 4
    assert settled_replicas(scaled_fleet, 330) == 4
    assert settled_replicas(scaled_fleet, 300) == 3
    assert settled_replicas(scaled_fleet, 100) == 1


def test_without_requests_the_fewest_remain():
    assert settled_replicas(fleet(replicas=8, min=2), 0) == 2


@pytest.mark.parametrize("slots", [1, 4, 256])
def test_the_same_load_ends_in_the_same_place_from_above_and_from_below(slots):
    for load in range(1, 60 * slots, 7 * slots + 1):
        low, high = fleet(slots=slots, max=1000), fleet(slots=slots, replicas=100, max=1000)
        high.best = slots
        assert settled_replicas(low, load) <= settled_replicas(high, load) <= math.ceil(load / min(slots, 10)) + 1


def test_gpus_and_first_tokens_say_nothing_while_no_request_waits():
    scaled_fleet = fleet(slots=4, gpu_utilization=80, ttft_seconds=0.5)
    assert settled_replicas(scaled_fleet, 1, gpu=100.0, ttft=30.0) == 1


def test_busy_gpus_add_instances_while_requests_wait():
    assert fleet(slots=4, gpu_utilization=80).step(5, gpu=100.0) == 2
    assert fleet(slots=4, gpu_utilization=80).step(5, gpu=79.0) == 1
    assert fleet(slots=4, gpu_utilization=None).step(5, gpu=100.0) == 1


def test_slow_first_tokens_add_instances_in_proportion():
    assert fleet(slots=4, replicas=2, ttft_seconds=2).step(9, ttft=5.0) == 5
    assert fleet(slots=4, replicas=2, ttft_seconds=2).step(9, ttft=2.0) == 2


def test_a_measure_that_is_older_than_the_instances_does_not_count_twice():
    """First tokens of the last minutes are slow still when the new instances are ready already."""
    scaled_fleet = fleet(slots=4, replicas=2, ttft_seconds=2)
    assert scaled_fleet.step(30, ttft=4.0, steady=2) == 4
    scaled_fleet.step(30, ttft=4.0, steady=2)
    assert scaled_fleet.ready == 4
    assert scaled_fleet.step(30, ttft=4.0, steady=2) == 4


# --- the guard


@pytest.mark.parametrize("load", [30, 100, 500])
def test_nodes_that_never_come_get_no_more_than_the_load_asks_for(load):
    scaled_fleet = fleet(slots=8, start=None, max=1000)
    replicas = settled_replicas(scaled_fleet, load)
    assert replicas <= math.ceil(load / (8 + 10))
    assert scaled_fleet.history == sorted(scaled_fleet.history)


def test_a_queue_that_grows_while_instances_load_is_not_met_twice():
    guarded, unguarded = fleet(slots=8, start=20, max=1000), fleet(slots=8, start=20, max=1000)
    unguarded.formula = unguarded.formula.replace(
        "let guarded = min(demand, max(demand - loading, replicas))", "let guarded = demand"
    )
    assert unguarded.formula != guarded.formula
    for tick in range(20):
        guarded.step(20 + 10 * tick)
        unguarded.step(20 + 10 * tick)
    assert guarded.replicas < unguarded.replicas
    assert guarded.history[0] == unguarded.history[0] > 1, "the first answer is the same"


def test_the_guard_is_that_of_llm_d():
    for demand, replicas, loading in itertools.product(range(12), range(1, 12), range(12)):
        theirs = demand if demand <= replicas else max(demand - loading, replicas)
        assert min(demand, max(demand - loading, replicas)) == theirs


def test_when_every_instance_is_lost_all_of_them_stay_asked_for():
    assert settled_replicas(fleet(replicas=7, ready=0, start=None), 0) == 7


def test_most_instances_lost_at_once_are_not_taken_for_a_lull():
    scaled_fleet = fleet(slots=8, replicas=8, ready=1, start=None)
    scaled_fleet.best = 8
    assert settled_replicas(scaled_fleet, 64 + 80) == 8


# --- schedules


def test_a_schedule_is_a_floor_that_the_guard_does_not_lower():
    scaled_fleet = fleet(schedules=[OFFICE], start=None)
    assert settled_replicas(scaled_fleet, 0, schedule_0=6) == 6
    assert scaled_fleet.step(0, schedule_0=0) == 1


def test_the_highest_schedule_counts():
    scaled_fleet = fleet(schedules=[OFFICE, OFFICE])
    assert settled_replicas(scaled_fleet, 0, schedule_0=6, schedule_1=9) == 9


# --- the tolerance of the HPA


def test_every_step_up_is_taken_whatever_the_number_of_instances():
    for replicas in range(1, 400):
        scaled_fleet = fleet(replicas=replicas, max=10000, schedules=[OFFICE])
        scheduled = replicas + 1
        reached = scaled_fleet.step(0, schedule_0=scheduled)
        assert reached >= scheduled
        assert reached == scheduled if replicas < 10 else reached <= math.floor(1.1 * replicas) + 1


def test_a_step_that_was_widened_is_not_taken_back_and_repeated():
    scaled_fleet = fleet(replicas=10, max=100, schedules=[OFFICE])
    assert settled_replicas(scaled_fleet, 0, schedule_0=11) == 12


def test_the_maximum_holds():
    assert settled_replicas(fleet(slots=1, max=5), 500) == 5


def test_the_base_counts_as_instances_and_is_not_added_again():
    scaled_fleet = fleet(base=2, slots=1, replicas=3, min=3, max=20)
    assert settled_replicas(scaled_fleet, 60) == 6


def test_the_value_never_is_negative():
    """A negative value would be taken for the largest number."""
    written = formula(spec(min=3, max=20), 3)
    names = ("requests", "waiting", "running", "capacity", "queued", "ready", "replicas", "steady", "gpu")
    assert evaluate(written, dict.fromkeys(names, 0.0)) == 0
    assert evaluate(written, {**dict.fromkeys(names, 0.0), "ready": 3, "replicas": 3}) == 0
    assert hpa(0, 1, 1, 10) == 1


def test_numbers_are_written_in_a_way_that_the_formulas_language_reads():
    written = formula(spec(queue_depth=0.5, ttft_seconds=0.25, gpu_utilization=None))
    assert "+ 0.5)" in written
    assert "/ 0.25" in written
    extreme = formula(spec(queue_depth=5e6, ttft_seconds=1e-8))
    assert "(running + 5000000.0)" in extreme
    assert "ttft / 0.00000001" in extreme


# --- scale to zero


def test_a_model_that_may_sleep_goes_to_none_when_nobody_has_asked_for_as_long_as_the_settings_say():
    body = render(min=0, idle_seconds=1800)["spec"]
    assert (body["minReplicaCount"], body["cooldownPeriod"]) == (0, 1800)
    assert body["initialCooldownPeriod"] == 1800, "a release that nobody has asked yet stays as long"
    assert body["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert render(min=0, idle_seconds=60, polling_seconds=300)["spec"]["cooldownPeriod"] > 3 * 300


def test_only_a_model_that_may_sleep_asks_the_gateway():
    def names(**fields):
        return [trigger["name"] for trigger in render(**fields)["spec"]["triggers"]]

    assert "asked" in names(min=0)
    assert "asked" not in names(min=1)


ASLEEP = {"requests": 0, "waiting": 0, "running": 0, "capacity": 0, "ready": 0, "replicas": 0}


@pytest.mark.parametrize("asked", [1, 50, 10_000])
def test_however_many_ask_a_sleeping_model_they_wake_one_instance(asked):
    written = formula(spec(min=0, gpu_utilization=None))
    assert evaluate(written, {**ASLEEP, "asked": 0}) == 0
    assert evaluate(written, {**ASLEEP, "asked": asked}) == 1
    loading = {**ASLEEP, "replicas": 1, "asked": asked}
    assert evaluate(written, loading) == 1, "nor is there a second one while it loads"


def test_an_instance_that_loads_is_not_taken_although_who_woke_it_has_left():
    assert evaluate(formula(spec(min=0, gpu_utilization=None)), {**ASLEEP, "replicas": 1, "asked": 0}) == 1


def test_a_model_that_is_asked_now_and_then_stays_awake():
    idle = {**ASLEEP, "replicas": 1, "ready": 1, "capacity": 1}
    written = formula(spec(min=0, gpu_utilization=None))
    assert evaluate(written, {**idle, "asked": 0}) == 0
    assert evaluate(written, {**idle, "asked": 1}) == 1


def test_who_asks_asks_for_no_more_than_the_engines_say():
    busy = fleet(min=0, queue_depth=10)
    assert settled_replicas(busy, 1000, asked=1000) == settled_replicas(fleet(queue_depth=10), 1000)
