"""How waking, room, breakers, releases and providers meet on the way of one request."""

from llm_serving_gateway.circuit_breaker import State

from tests.images.gateway.test_parts import run as run_program


def run(way):
    return run_program(way, None, "ways.py")


def test_waiting_in_vain_for_an_instance_takes_no_time_from_those_that_are_asked_next():
    assert run("late") == [503, "model_starting", True]


def test_a_request_that_comes_just_when_the_last_one_stops_waiting_waits_for_an_instance_too():
    assert run("again") == [False, True]


def test_a_model_that_never_sleeps_and_a_provider_have_failed_where_a_proxy_says_that_nobody_is_there():
    statuses, states = run("nobody")
    assert statuses == [503]
    assert states == {"sleeper/stable": State.CLOSED, "steady/stable": State.OPEN, "hosted/outside": State.OPEN}


def test_a_probe_whose_client_leaves_before_it_is_sent_leaves_its_turn_to_the_next_request():
    assert run("probe") == [State.OPEN, 200]


def test_a_model_that_others_lead_to_and_that_is_busy_keeps_no_provider_away_and_no_cause_from_the_client():
    assert run("elsewhere") == [503, 503, None, 200]


def test_a_release_that_sleeps_is_asked_once_before_it_is_waited_for():
    assert run("release") == [503, ["weighted"]]


def test_a_client_that_leaves_before_a_back_end_was_asked_pays_nothing_and_one_that_leaves_later_what_was_held():
    before, both = run("left")
    assert before == 0
    assert both > 0


def test_a_request_that_another_model_answers_takes_no_room_of_the_one_that_failed():
    assert run("room") == [503, True]


def test_an_answer_of_a_provider_that_is_not_let_through_is_on_its_bill_all_the_same():
    assert run("blocked") == [400, 7]
