"""A user's own condition for ready is understood, or refused when it is written."""

import pytest

from local.providers.kubernetes.wait_for_annotation import judge, parse

SET = {
    "status": {
        "phase": "Running",
        "n": 2,
        "a.b": "x",
        "list": [{"ip": "1"}],
        "conditions": [{"type": "Available", "status": "True"}],
    }
}


@pytest.mark.parametrize(
    "rule",
    [
        "condition=Available",
        "condition=Available=true",
        "jsonpath={.status.phase}=Running",
        "jsonpath={.status.phase}",
        "jsonpath={.status.list[0].ip}=1",
        "jsonpath={.status['a.b']}=x",
        r"jsonpath={.status.a\.b}=x",
        "jsonpath={.status.list[*].ip}",
        "jsonpath={.status.list[*].ip}=1",
        'jsonpath={.status.conditions[?(@.type=="Available")].status}=True',
        "jsonpath={.status.n}=2",
        '["condition=Available", "jsonpath={.status.n}=2"]',
    ],
)
def test_what_holds_is_ready(rule):
    assert judge(parse(rule), SET).done


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("condition=Ready", "condition Ready is missing"),
        ("jsonpath={.status.phase}=Done", "is Running, not Done"),
        ("jsonpath={.status.none}", "is missing"),
        ("jsonpath={.status.list[*].none}", "is missing"),
        ("jsonpath={.status.conditions[*].status}=False", "is True, not False"),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', "is missing"),
        ('["condition=Available", "condition=Ready"]', "Ready"),
    ],
)
def test_what_does_not_hold_is_told(rule, message):
    progress = judge(parse(rule), SET)
    assert not progress.done
    assert message in progress.waiting


@pytest.mark.parametrize("rule", ["ready", "condition=", "jsonpath={.a..b}", "jsonpath={.items[1:2].x}"])
def test_what_is_not_understood_is_refused(rule):
    with pytest.raises(ValueError, match=r"condition=|JSONPath"):
        parse(rule)
