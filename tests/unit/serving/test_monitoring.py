import re

import pytest

from llm_serving.contract import LABEL_MODEL, LABEL_POOL, LABEL_RELEASE, LABEL_TEAM
from llm_serving.metrics.series import SCRAPE_INTERVAL_SECONDS
from llm_serving.serving.monitoring import pod_monitor
from llm_serving.serving.scaling_queries import CAPACITY_SECONDS, LATENCY_SECONDS, QUEUE_SECONDS
from tests.unit.serving.crds import assert_valid


def endpoints(**arguments):
    return pod_monitor("chat", **arguments)["spec"]["podMetricsEndpoints"]


@pytest.mark.parametrize("interval", [5, 15, 60])
def test_the_object_is_valid_for_the_pinned_definition(interval):
    assert_valid(
        pod_monitor("chat", interval, {"a": "b"}), "prometheus-operator/monitoring.coreos.com_podmonitors.yaml"
    )


def test_engine_and_launcher_are_both_asked_at_the_same_path():
    assert [(endpoint["port"], endpoint["path"]) for endpoint in endpoints()] == [
        ("http", "/metrics"),
        ("health", "/metrics"),
    ]


def test_an_answer_is_not_waited_for_longer_than_until_the_next_question():
    for interval in (5, 15, 60):
        (seconds,) = {int(endpoint["scrapeTimeout"].rstrip("s")) for endpoint in endpoints(interval_seconds=interval)}
        assert seconds <= interval


def test_every_series_says_which_release_of_which_model_of_which_team_on_which_pool():
    for endpoint in endpoints():
        copied = {rule["targetLabel"]: rule["sourceLabels"] for rule in endpoint["relabelings"]}
        for name, label in (
            ("release", LABEL_RELEASE),
            ("team", LABEL_TEAM),
            ("pool", LABEL_POOL),
            ("model", LABEL_MODEL),
        ):
            assert copied[name] == ["__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", label)]


def test_labels_of_an_exposition_never_replace_those_of_the_pod():
    assert [endpoint["honorLabels"] for endpoint in endpoints()] == [False, False]


def test_every_window_of_a_query_holds_several_scrapes():
    assert min(QUEUE_SECONDS, LATENCY_SECONDS, CAPACITY_SECONDS) >= 4 * SCRAPE_INTERVAL_SECONDS
    assert {endpoint["interval"] for endpoint in endpoints()} == {f"{SCRAPE_INTERVAL_SECONDS}s"}
