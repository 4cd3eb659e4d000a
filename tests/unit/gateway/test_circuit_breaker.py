"""When a breaker opens, lets one try, and closes: by a clock that the tests move."""

from llm_serving_gateway.circuit_breaker import CircuitBreaker, State, Ticket
from llm_serving_gateway.configuration import Breaker

SETTINGS = Breaker(failure_share=0.5, min_requests=4, window_seconds=60, open_seconds=10)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Case:
    """A breaker, its clock, and the states that it had."""

    def __init__(self, settings: Breaker = SETTINGS) -> None:
        self.states: list[State] = []
        self.clock = Clock()
        self.breaker = CircuitBreaker(settings, self.states.append, self.clock)

    def admitted(self) -> Ticket:
        ticket = self.breaker.admit()
        assert ticket is not None
        return ticket

    def ask(self, *failed: bool | None) -> None:
        for each in failed:
            self.admitted().settle(failed=each)

    @property
    def state(self) -> State:
        return self.states[-1]


def test_it_opens_when_a_large_enough_share_of_enough_requests_failed() -> None:
    case = Case()
    case.ask(True, True, True)
    assert case.state is State.CLOSED
    case.ask(False)
    assert case.state is State.OPEN
    assert case.breaker.admit() is None


def test_what_is_older_than_the_window_does_not_count() -> None:
    case = Case()
    case.ask(True, True, True)
    case.clock.seconds += 60
    case.ask(True)
    assert case.state is State.CLOSED


def test_a_small_share_never_opens_it() -> None:
    case = Case()
    case.ask(*[False, False, True] * 1000)
    assert case.states == [State.CLOSED]


def test_after_a_pause_one_request_tries_and_its_answer_closes_it() -> None:
    case = Case()
    case.ask(True, True, True, True)
    case.clock.seconds += 9.9
    assert case.breaker.admit() is None
    case.clock.seconds += 0.1
    probe = case.admitted()
    assert (case.state, case.breaker.admit()) == (State.HALF_OPEN, None)
    probe.settle(failed=False)
    assert case.state is State.CLOSED
    # What failed before it opened is forgotten.
    case.ask(True)
    assert case.state is State.CLOSED


def test_a_probe_that_fails_begins_the_pause_again() -> None:
    case = Case()
    case.ask(True, True, True, True)
    case.clock.seconds += 10
    case.ask(True)
    assert case.breaker.admit() is None
    case.clock.seconds += 10
    case.ask(False)
    assert case.states == [
        State.CLOSED,
        State.OPEN,
        State.HALF_OPEN,
        State.OPEN,
        State.HALF_OPEN,
        State.CLOSED,
    ]


def test_a_probe_whose_client_leaves_says_nothing_and_the_next_request_is_one() -> None:
    case = Case()
    case.ask(True, True, True, True)
    case.clock.seconds += 10
    case.ask(None, False)
    assert case.state is State.CLOSED


def test_a_request_of_before_it_opened_says_nothing_of_the_probe() -> None:
    case = Case()
    late = case.admitted()
    case.ask(True, True, True, True)
    case.clock.seconds += 10
    probe = case.admitted()
    late.settle(failed=False)
    assert case.state is State.HALF_OPEN
    probe.settle(failed=False)
    assert case.state is State.CLOSED


def test_streams_that_break_off_open_it_though_they_had_begun() -> None:
    case = Case(SETTINGS.model_copy(update={"failure_share": 1}))
    for _ in range(4):
        assert case.state is State.CLOSED
        ticket = case.admitted()
        ticket.settle(failed=False)
        ticket.broke()
    assert case.state is State.OPEN


def test_of_a_request_the_first_word_counts() -> None:
    case = Case()
    ticket = case.admitted()
    for _ in range(10):
        ticket.settle(failed=True)
    assert case.state is State.CLOSED
