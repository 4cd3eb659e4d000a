"""What would cut requests, wait for ever or be taken away against the settings is refused, with what would work."""

import pytest

from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.rules.disruption import check_disruption, note_disruption
from llm_serving.planning.rules.gcp.spot_shutdown import check_spot_shutdown, note_spot_shutdown
from llm_serving.planning.tenancy import max_gpus
from tests.unit.planning.builders import cluster, entry, existing_pool, model, pool, release, stack

SPOT_FIRST = [entry(market="spot", max=4), entry(max=2)]
EARLY, EXACT, LATER = "1.34.1-gke.3355000", "1.35.0-gke.1171000", "1.35.0-gke.1795000"


def refusals(**parts):
    shape = stack(**parts)
    return [*check_disruption(shape), *check_spot_shutdown(shape)]


def notes(**parts):
    shape = stack(**parts)
    return [*note_disruption(shape), *note_spot_shutdown(shape)]


def single_problem(problems, path):
    """The one problem, which must have this path."""
    assert [problem.path for problem in problems] == [path], [str(problem) for problem in problems]
    return problems[0]


def test_a_good_stack_passes():
    assert refusals() == []
    assert notes() == []


# --- an orderly end


def test_an_end_that_takes_longer_than_the_notice_is_refused():
    slow = model(drain={"shutdownTimeoutSeconds": 60})
    problem = single_problem(
        refusals(pools=(pool(capacity=SPOT_FIRST),), models=(slow,)), "models[0].drain.shutdownTimeoutSeconds"
    )
    assert problem.suggestion == "at most 12"


def test_the_same_end_is_fine_where_nodes_stay_or_the_notice_is_longer():
    slow = model(drain={"shutdownTimeoutSeconds": 60})
    assert refusals(models=(slow,)) == []
    patient = pool(capacity=SPOT_FIRST, spotShutdownSeconds=120)
    assert refusals(pools=(patient,), models=(slow,), cluster=cluster(version=LATER)) == []


def test_a_window_that_cuts_the_longest_request_is_refused_where_nothing_takes_nodes_away():
    hasty = model(drain={"shutdownTimeoutSeconds": 30, "longestRequestSeconds": 90})
    assert "90" in single_problem(refusals(models=(hasty,)), "models[0].drain.shutdownTimeoutSeconds").suggestion


def test_a_request_that_may_be_cut_is_said_and_not_refused():
    long = model(drain={"longestRequestSeconds": 90})
    spot = {"pools": (pool(capacity=SPOT_FIRST),), "models": (long,)}
    assert refusals(**spot) == []
    problem = single_problem(notes(**spot), "models[0].drain.longestRequestSeconds")
    assert (problem.value, "spotShutdownSeconds 120" in problem.suggestion) == (90, True)


def test_a_request_that_fits_the_longer_notice_is_not_cut():
    patient = pool(capacity=SPOT_FIRST, spotShutdownSeconds=120)
    long = model(drain={"longestRequestSeconds": 80})
    assert notes(pools=(patient,), models=(long,), cluster=cluster(version=LATER)) == []


@pytest.mark.parametrize(("version", "is_refused"), [(EARLY, True), ("1.34", True), (EXACT, False), ("1.35", False)])
def test_a_longer_notice_needs_a_control_plane_that_knows_it(version, is_refused):
    patient = pool(capacity=SPOT_FIRST, spotShutdownSeconds=120)
    problems = refusals(pools=(patient,), cluster=cluster(version=version))
    assert [problem.path for problem in problems] == (["pools[0].spotShutdownSeconds"] if is_refused else [])
    assert all(EXACT in problem.suggestion for problem in problems)


def test_a_version_that_is_left_to_the_channel_is_a_remark():
    patient = pool(capacity=SPOT_FIRST, spotShutdownSeconds=120)
    assert refusals(pools=(patient,)) == []
    assert EXACT in single_problem(notes(pools=(patient,)), "pools[0].spotShutdownSeconds").suggestion


def test_a_longer_notice_that_would_have_no_effect_is_refused():
    assert (
        "no spot"
        in single_problem(refusals(pools=(pool(spotShutdownSeconds=120),)), "pools[0].spotShutdownSeconds").reason
    )


def test_only_what_the_cloud_allows_can_be_asked_for():
    with pytest.raises(ValueError, match="30, 120"):
        pool(spotShutdownSeconds=60)


# --- a base that is not taken away


def test_a_base_finds_capacity_that_is_not_taken_away():
    based = model(replicas=3, onDemandBase=2)
    assert refusals(pools=(pool(capacity=SPOT_FIRST),), models=(based,)) == []


def test_a_base_is_at_most_what_there_always_is():
    problem = single_problem(refusals(models=(model(replicas=1, onDemandBase=2),)), "models[0].onDemandBase")
    assert problem.suggestion == "1"
    scaled = model(autoscaling={"min": 1, "max": 4}, onDemandBase=2)
    assert "autoscaling.min" in single_problem(refusals(models=(scaled,)), "models[0].onDemandBase").reason


@pytest.mark.parametrize("market", ["spot", "flex-start"])
def test_a_base_where_everything_may_be_taken_away_is_refused(market):
    problems = refusals(pools=(pool(capacity=[entry(market=market)]),), models=(model(replicas=2, onDemandBase=1),))
    assert "on-demand or reservation" in single_problem(problems, "models[0].onDemandBase").suggestion


def test_a_base_larger_than_the_capacity_that_stays_is_refused_with_what_fits():
    based = model(replicas=4, onDemandBase=3)
    problem = single_problem(refusals(pools=(pool(capacity=SPOT_FIRST),), models=(based,)), "models[0].onDemandBase")
    assert problem.suggestion == "2"


def test_bases_of_one_pool_share_the_capacity_that_stays():
    models = (model(replicas=2, onDemandBase=1), model("search", replicas=2, onDemandBase=2))
    problems = refusals(pools=(pool(capacity=SPOT_FIRST),), models=models, releases=[release(), release(name="search")])
    problem = single_problem(problems, "models[1].onDemandBase")
    assert (problem.suggestion, "other models" in problem.reason) == ("1", True)


def test_a_base_on_nodes_that_are_already_there_is_as_good_as_any():
    lab = {"cloud": EXISTING, "region": "", "pools": (existing_pool(),)}
    assert refusals(**lab, models=(model(pool="lab", replicas=2, onDemandBase=1),)) == []


def test_a_critical_model_that_may_be_gone_all_at_once_is_a_remark():
    critical = model(serviceClass="critical", replicas=2)
    single_problem(notes(pools=(pool(capacity=SPOT_FIRST),), models=(critical,)), "models[0].serviceClass")
    based = model(serviceClass="critical", replicas=2, onDemandBase=1)
    assert notes(pools=(pool(capacity=SPOT_FIRST),), models=(based,)) == []


# --- placeholders


def test_placeholders_find_room_beside_the_fewest_instances():
    warm = model(autoscaling={"min": 1, "max": 2}, warmPool={"placeholders": 1})
    assert refusals(models=(warm,)) == []


def test_placeholders_that_would_never_run_are_refused_with_what_fits():
    warm = model(replicas=1, warmPool={"placeholders": 3})
    assert (
        single_problem(refusals(models=(warm,)), "models[0].warmPool.placeholders").suggestion
        == "1, or more nodes in pool l4"
    )
    full = model(replicas=2, warmPool={"placeholders": 1})
    assert "more nodes" in single_problem(refusals(models=(full,)), "models[0].warmPool.placeholders").suggestion


def test_a_canary_leaves_less_room_for_placeholders():
    releases = [release(), release(version="1.1.0")]
    warm = model(
        releases={"stable": "1.0.0", "canary": {"release": "1.1.0", "weight": 10}}, warmPool={"placeholders": 1}
    )
    single_problem(refusals(models=(warm,), releases=releases), "models[0].warmPool.placeholders")


# --- what a team takes


def test_a_quota_covers_a_change_of_release_canary_previous_and_placeholders():
    assert max_gpus(model(replicas=3), 2) == (3 + 3) * 2
    assert max_gpus(model(replicas=1, surge=2), 1) == 1 + 2
    assert max_gpus(model(autoscaling={"min": 2, "max": 6}), 1) == 6 + 2
    everything = model(
        autoscaling={"min": 2, "max": 6},
        releases={"stable": "1.1.0", "canary": {"release": "1.2.0", "weight": 5}, "previous": "1.0.0"},
        warmPool={"placeholders": 2},
    )
    assert max_gpus(everything, 4) == (6 + 2 + 6 + 1 + 2) * 4
