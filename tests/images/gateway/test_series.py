"""What alerts and scaling ask of the gateway is what it exports."""

import re

import requests

from llm_serving.metrics.series import SERIES_MODEL, SERIES_STATUS, SERIES_TEAM, GatewaySeries


def test_every_series_that_is_asked_for_is_exported(pod):
    assert pod.chat().status_code == 200
    exposition = requests.get(pod.metrics_url, timeout=60).text
    assert {series for series in GatewaySeries if not re.search(rf"(?m)^# TYPE {series} ", exposition)} == set()


def test_requests_say_their_model_their_client_and_its_status(pod):
    assert pod.chat().status_code == 200
    counted = [sample for sample in pod.metrics() if sample.startswith(f"{GatewaySeries.REQUESTS}{{")]
    labels = {SERIES_MODEL: "tiny", SERIES_STATUS: "200"}
    answered = [one for one in counted if all(f'{name}="{value}"' in one for name, value in labels.items())]
    assert answered
    assert all(f'{SERIES_TEAM}="' in one for one in answered)
