"""A release's record can be read by Helm and by people."""

import base64
import gzip
import json

import pytest
import yaml

from local.providers.kubernetes import releases
from local.providers.properties import Secret

VALUES = {"name": "keda", "namespace": "keda", "chart": "kedacore/keda", "version": "2.21.0", "values": {"a": 1}}


def test_helm_can_decode_the_record():
    record = releases.record(VALUES, 2)
    assert record["metadata"]["name"] == "sh.helm.release.v1.keda.v2"
    assert record["type"] == "helm.sh/release.v1"
    packed = record["stringData"]["release"]
    release = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert release["chart"]["metadata"] == {"name": "keda", "version": "2.21.0"}
    assert release["config"] == {"a": 1}
    assert json.loads(record["stringData"]["release.json"])["values"] == {"a": 1}


@pytest.mark.parametrize("chart", ["keda", "kedacore/keda", "oci://ghcr.io/kedacore/charts/keda"])
def test_a_chart_is_known_by_its_last_name(chart):
    assert releases.chart_name(chart) == "keda"


def test_only_definitions_of_a_charts_own_folder_stay():
    assert not releases.stays("keda")
    assert releases.stays("kube-prometheus-stack")
    assert releases.stays("never-heard-of")


def test_the_user_is_told_that_nothing_was_rendered():
    assert "was not rendered" in releases.not_rendered({"chart": "nginx"})


def test_secret_values_stay_secret_in_the_outputs():
    outputs = releases.outputs({**VALUES, "values": Secret({"pw": "x"})}, 1)
    assert isinstance(outputs["values"], Secret)
    assert "x" not in yaml.safe_dump(outputs["status"])


def test_name_and_namespace_are_filled_in():
    filled, problems, _ = releases.check({"chart": "keda"}, None, "keda", b"s", "team")
    assert not problems
    assert filled["name"].startswith("keda-")
    assert filled["namespace"] == "team"


def test_a_misspelt_argument_is_refused():
    _, problems, _ = releases.check({"chart": "keda", "versoin": "1"}, None, "keda", b"s", "team")
    assert [p.path for p in problems] == ["versoin"]
