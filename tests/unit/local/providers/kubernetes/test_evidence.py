"""The end of a log reaches the terminal as text and no more."""

import pytest

from local.cluster.rest import UnreachableError
from local.providers.kubernetes.evidence import Evidence, Findings, plain, selector_text

CRASHED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"nodeName": "node", "containers": [{"name": "c"}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "name": "c",
                "ready": False,
                "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}},
            }
        ],
    },
}


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
    kept = now.or_earlier(Findings(pods=("pod a: crashed",)))
    assert kept.lines("job failed") == ["pod a: crashed"]


def test_a_complaint_that_the_headline_says_already_is_left_out():
    findings = Findings(complaints=("Job load: BackoffLimitExceeded: no more", "Job load: FailedCreate: quota"))
    assert findings.lines("job failed: BackoffLimitExceeded: no more") == ["Job load: FailedCreate: quota"]


class Server:
    """An API server without events, whose logs are too late or there as told."""

    def __init__(self, *late: bool) -> None:
        self.late = list(late)

    def list(self, *_: object, **__: object) -> list[object]:
        return []

    def request(self, *_: object, **__: object) -> str:
        if self.late.pop(0):
            raise UnreachableError("too late")
        return "no space left"


def shows_logs(*late: bool) -> list[bool]:
    """Whether the log is told each time that somebody looks."""
    evidence = Evidence(Server(*late))
    return ["no space left" in " ".join(evidence.about(CRASHED).lines("")) for _ in late]


@pytest.mark.parametrize(
    ("late", "shown"),
    [
        ([True, False], [False, True]),
        ([True, False, True, False], [False, True, True, True]),
        ([True, True, False], [False, False, False]),
    ],
    ids=["late once", "late now and then", "late twice in a row"],
)
def test_a_node_that_is_late_twice_in_a_row_is_not_asked_again(late, shown):
    assert shows_logs(*late) == shown


def test_a_log_that_was_read_stays_known_when_its_pod_goes():
    assert shows_logs(False, True, True, True) == [True, True, True, True]
