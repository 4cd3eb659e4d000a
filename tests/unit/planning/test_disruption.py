import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import AWS, EXISTING, GCP
from llm_serving.planning.disruption import (
    EXIT_SECONDS,
    longer_than_window,
    longest_drain,
    plan_drain,
)
from llm_serving.spec import DrainSpec
from tests.unit.planning.builders import entry, existing_pool, pool

AUTO = DrainSpec()
seconds = st.integers(1, 600)


def test_where_nodes_stay_long_answers_may_finish():
    drain = plan_drain(AUTO, None)
    assert drain.shutdown_timeout >= 60
    assert drain.grace_period > drain.pre_stop + drain.shutdown_timeout


@given(notice=st.integers(EXIT_SECONDS + 2, 600))
def test_what_is_left_out_always_fits_the_notice(notice):
    drain = plan_drain(AUTO, notice)
    assert drain.pre_stop >= 1
    assert drain.shutdown_timeout >= 1
    assert drain.pre_stop + drain.shutdown_timeout < drain.grace_period <= notice


@given(
    notice=st.one_of(st.none(), seconds), pre_stop=st.one_of(st.none(), seconds), shutdown=st.one_of(st.none(), seconds)
)
def test_a_drain_keeps_what_was_asked_for_within_the_notice_or_is_refused_with_what_would_fit(
    notice, pre_stop, shutdown
):
    spec = DrainSpec(pre_stop_seconds=pre_stop, shutdown_timeout_seconds=shutdown)
    try:
        drain = plan_drain(spec, notice)
    except ProblemsError as error:
        assert notice is not None
        seconds_needed = (pre_stop or 1) + (shutdown or 1) + EXIT_SECONDS
        assert seconds_needed > notice
        (problem,) = error.problems
        if problem.suggestion.startswith("at most "):
            field = {
                "drain.shutdownTimeoutSeconds": "shutdown_timeout_seconds",
                "drain.preStopSeconds": "pre_stop_seconds",
            }
            fits = spec.model_copy(update={field[problem.path]: int(problem.suggestion.removeprefix("at most "))})
            plan_drain(fits, notice)
        return
    assert pre_stop in (None, drain.pre_stop)
    assert shutdown in (None, drain.shutdown_timeout)
    assert notice is None or drain.grace_period <= notice


def test_a_notice_that_leaves_no_time_is_refused_with_a_way_out():
    with pytest.raises(ProblemsError, match="without spot capacity"):
        plan_drain(AUTO, 3)


@pytest.mark.parametrize(
    ("cloud", "fields", "notice"),
    [
        (GCP, {"capacity": [entry(market="spot")]}, 15),
        (GCP, {"capacity": [entry(), entry(market="spot")]}, 15),
        (GCP, {"capacity": [entry(market="spot")], "spotShutdownSeconds": 120}, 105),
        (AWS, {"capacity": [entry(market="spot")]}, 120),
        (GCP, {"capacity": [entry()]}, None),
    ],
)
def test_pods_get_the_notice_less_what_the_node_keeps_for_itself(cloud, fields, notice):
    assert cloud.spot_notice_seconds(pool(**fields)) == notice


def test_nodes_that_are_already_there_stay():
    assert EXISTING.spot_notice_seconds(existing_pool()) is None


@given(longest=seconds)
def test_where_nodes_stay_the_longest_request_ends(longest):
    drain = plan_drain(DrainSpec(longest_request_seconds=longest), None)
    assert drain.shutdown_timeout >= max(120, longest)
    assert not longer_than_window(DrainSpec(longest_request_seconds=longest), drain)


def test_where_nodes_stay_a_window_that_cuts_requests_is_refused_with_what_would_do():
    spec = DrainSpec(longest_request_seconds=300, shutdown_timeout_seconds=60)
    with pytest.raises(ProblemsError) as caught:
        plan_drain(spec, None)
    (problem,) = caught.value.problems
    assert (problem.path, problem.value) == ("drain.shutdownTimeoutSeconds", 60)
    assert problem.suggestion.startswith("300")


def test_where_nodes_are_taken_away_a_longer_request_is_known_to_be_cut():
    spec = DrainSpec(longest_request_seconds=300)
    assert longer_than_window(spec, plan_drain(spec, 15))
    assert longer_than_window(spec, plan_drain(spec, 105))
    assert not longer_than_window(DrainSpec(longest_request_seconds=9), plan_drain(spec, 15))


@given(
    notice=st.one_of(st.none(), st.integers(EXIT_SECONDS + 2, 120)),
    shutdown=st.one_of(st.none(), seconds),
    longest=seconds,
)
def test_no_instance_takes_longer_than_the_longest_drain(notice, shutdown, longest):
    spec = DrainSpec(shutdown_timeout_seconds=shutdown, longest_request_seconds=longest)
    try:
        drain = plan_drain(spec, notice)
    except ProblemsError:
        return
    assert drain.grace_period <= longest_drain(spec).grace_period
