import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_serving.errors import ProblemsError
from llm_serving.planning.drain import EXIT_SECONDS, plan_drain
from llm_serving.spec import DrainSpec

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
        asked = (pre_stop or 1) + (shutdown or 1) + EXIT_SECONDS
        assert asked > notice
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
