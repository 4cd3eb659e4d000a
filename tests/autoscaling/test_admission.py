"""The real API server, with the real definitions and KEDA's webhook, takes what the components make."""

import pytest

from llm_serving.serving import PriorityClasses, TeamNamespace
from tests.autoscaling.scene import GUARD_SECONDS
from tests.engine.cluster.helpers import eventually
from tests.unit.recording import record
from tests.unit.serving.manifests import manifests
from tests.unit.serving.served import serve

PROMETHEUS = "http://prometheus.monitoring.svc:9090"
SCHEDULE = {"start": "0 8 * * MON-FRI", "end": "0 19 * * MON-FRI", "timezone": "Europe/Berlin", "replicas": 3}
AUTOSCALING = {"min": 2, "max": 6, "ttft_seconds": 2.5, "schedules": [SCHEDULE]}
RELEASES = {"stable": "1.0.0", "canary": {"release": "1.1.0", "weight": 10, "replicas": 1}}


@pytest.fixture(scope="module")
def team(api):
    """The namespace of a team, as the component makes it, with everything in it."""
    arguments = {"team": {"name": "chat"}, "gpu_quota": 64, "monitored": True}
    made = [*manifests(record(lambda: PriorityClasses("priorities", {}))), *_team(arguments)]
    api.apply_all(made)
    yield made
    for thing in made:
        if thing["kind"] in ("Namespace", "PriorityClass"):
            api.delete(thing)


def _team(arguments):
    return manifests(record(lambda: TeamNamespace("chat", arguments)))


def test_every_object_of_a_team_and_of_a_model_that_scales_is_admitted(api, team):
    recording = serve(
        model={"autoscaling": AUTOSCALING, "releases": RELEASES},
        more=({"version": "1.1.0"},),
        prometheus_url=PROMETHEUS,
    )
    wanted = manifests(recording)
    api.apply_all(wanted)

    kinds = {thing["kind"] for thing in [*team, *wanted]}
    assert kinds >= {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "ScaledObject", "Service"}
    scaled = [thing for thing in wanted if thing["kind"] == "ScaledObject"]
    assert len(scaled) == 2, "one a release"
    for thing in scaled:
        # KEDA itself takes the formula and every trigger, and makes one HPA of them with one metric.
        hpa = eventually(lambda thing=thing: _hpa_of(api, thing), GUARD_SECONDS)
        assert [metric["type"] for metric in hpa["spec"]["metrics"]] == ["External"]
        assert hpa["spec"]["metrics"][0]["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
        assert hpa["spec"]["maxReplicas"] == AUTOSCALING["max"]
    _let_go(api, wanted)


def _let_go(api, wanted):
    """KEDA's part is over before the next test makes objects of the same names."""
    scaled = [thing for thing in wanted if thing["kind"] == "ScaledObject"]
    for thing in scaled:
        api.delete(thing)
    eventually(lambda: not any(_there(api, thing) for thing in scaled), GUARD_SECONDS)


def _there(api, thing):
    return api.find(thing["apiVersion"], thing["kind"], thing["metadata"]["name"], thing["metadata"]["namespace"])


def _hpa_of(api, scaled):
    name, namespace = scaled["metadata"]["name"], scaled["metadata"]["namespace"]
    return api.find("autoscaling/v2", "HorizontalPodAutoscaler", name, namespace)


def test_a_group_of_nodes_that_scales_is_admitted(api, cluster, team):
    cluster.install_crds("lws")
    parallel = {"nodes": 2, "pipeline_parallelism": 2}
    model = {"engine": parallel, "tensor_parallelism": 2, "autoscaling": {"max": 3}}
    wanted = manifests(serve(model=model, prometheus_url=PROMETHEUS))
    assert "LeaderWorkerSet" in {thing["kind"] for thing in wanted}
    api.apply_all(wanted)
    _let_go(api, wanted)
