"""The end of a log reaches the terminal as text and no more."""

from local.clouds.kubernetes.evidence import Findings, plain, selector_text


def test_colours_control_characters_and_empty_lines_are_left_out():
    assert plain("\x1b[31mERROR\x1b[0m no\x07 memory\r\n\n  done \n") == "ERROR no memory\n  done"


def test_a_long_log_keeps_its_end():
    assert plain("x" * 9000 + "the end").endswith("the end")
    assert len(plain("x" * 9000)) < 3000


def test_a_selector_of_expressions_becomes_a_query():
    expressions = [{"key": "b", "operator": "In", "values": ["1", "2"]}, {"key": "c", "operator": "DoesNotExist"}]
    assert selector_text({"matchLabels": {"a": "0"}, "matchExpressions": expressions}) == "a=0,b in (1,2),!c"


def test_what_was_seen_of_pods_is_kept_when_they_are_gone():
    now = Findings(complaints=("Job load: BackoffLimitExceeded: no more",))
    kept = now.since(Findings(pods=("pod a: crashed",)))
    assert kept.told("job failed") == ["pod a: crashed"]


def test_a_complaint_that_the_headline_says_already_is_left_out():
    found = Findings(complaints=("Job load: BackoffLimitExceeded: no more", "Job load: FailedCreate: quota"))
    assert found.told("job failed: BackoffLimitExceeded: no more") == ["Job load: FailedCreate: quota"]
