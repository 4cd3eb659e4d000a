from typing import Any

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.addons.cluster_addons import ClusterAddons
from llm_serving.planning.clouds import EXISTING
from llm_serving.planning.rules import check
from llm_serving.serving import TeamNamespace
from llm_serving.spec import AddonsSpec
from tests.unit.planning.builders import existing_pool, model, stack
from tests.unit.recording import record
from tests.unit.serving import crds
from tests.unit.serving.served import serve

TOKEN = "hunter2"
BEARER, BASIC, GCP = {"mode": "bearer"}, {"mode": "basic", "username": "scaler"}, {"mode": "gcp"}
URL = "https://prometheus.example.com"
SCALED = {"autoscaling": {"min": 1, "max": 4, "schedules": []}}


def team(**changes: Any):
    arguments: Any = {"team": {"name": "chat"}, "gpu_quota": 4, **changes}
    return record(lambda: TeamNamespace("chat", arguments))


def custom(recording, kind):
    resource = recording.one(f"kubernetes:keda.sh/v1alpha1:{kind}")
    return {key: resource.inputs[key] for key in ("apiVersion", "kind", "metadata", "spec")}


def scaled(**changes: Any):
    return custom(serve(model=SCALED, prometheus_url=URL, **changes), "ScaledObject")


def prometheus_triggers(manifest):
    return [trigger for trigger in manifest["spec"]["triggers"] if trigger["type"] == "prometheus"]


@pytest.mark.parametrize(
    ("auth", "credential", "data", "parameters"),
    [
        (BEARER, {"prometheus_credential": TOKEN}, {"token": TOKEN}, {"bearerToken": "token"}),
        (
            BASIC,
            {"prometheus_credential": TOKEN},
            {"username": "scaler", "password": TOKEN},
            {"username": "username", "password": "password"},
        ),
    ],
)
def test_keda_finds_token_or_password_in_a_secret_that_is_never_in_the_clear(auth, credential, data, parameters):
    recording = team(prometheus_auth=auth, **credential)
    secret = recording.one("kubernetes:core/v1:Secret")
    assert secret["stringData"] == data
    assert secret.secret_paths == {"stringData"}
    authentication = custom(recording, "TriggerAuthentication")
    crds.assert_valid(authentication, "keda/keda.sh_triggerauthentications.yaml")
    references = authentication["spec"]["secretTargetRef"]
    assert {reference["parameter"]: reference["key"] for reference in references} == parameters
    assert {reference["name"] for reference in references} == {secret["metadata.name"]}
    assert authentication["metadata"]["namespace"] == secret["metadata.namespace"] == "chat"
    others = [resource.inputs for resource in recording if resource is not secret and resource.custom]
    assert TOKEN not in str(others)


def test_managed_prometheus_is_asked_with_the_identity_of_kedas_operator():
    recording = team(prometheus_auth=GCP)
    authentication = custom(recording, "TriggerAuthentication")
    crds.assert_valid(authentication, "keda/keda.sh_triggerauthentications.yaml")
    assert authentication["spec"] == {"podIdentity": {"provider": "gcp"}}
    assert not recording.all("kubernetes:core/v1:Secret")


@pytest.mark.parametrize(("auth", "modes"), [(BEARER, "bearer"), (BASIC, "basic"), (GCP, None)])
def test_every_query_of_a_model_is_asked_with_the_credentials_of_its_namespace(auth, modes):
    manifest = scaled(prometheus_auth=auth)
    crds.assert_valid(manifest, "keda/keda.sh_scaledobjects.yaml")
    credential = {} if auth is GCP else {"prometheus_credential": TOKEN}
    name = custom(team(prometheus_auth=auth, **credential), "TriggerAuthentication")["metadata"]["name"]
    triggers = prometheus_triggers(manifest)
    assert triggers
    for trigger in triggers:
        assert trigger["authenticationRef"] == {"name": name}
        assert trigger["metadata"].get("authModes") == modes


def test_a_prometheus_that_asks_nobody_is_shown_nothing():
    for trigger in prometheus_triggers(scaled()):
        assert "authenticationRef" not in trigger
        assert "authModes" not in trigger["metadata"]
    assert not team().all("kubernetes:keda.sh/v1alpha1:TriggerAuthentication")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"prometheus_auth": BEARER}, "prometheusCredential"),
        ({"prometheus_auth": GCP, "prometheus_credential": TOKEN}, "prometheusCredential"),
        ({"prometheus_credential": TOKEN}, "prometheusCredential"),
        ({"prometheus_auth": {"mode": "basic"}, "prometheus_credential": TOKEN}, "prometheusAuth.username"),
        ({"prometheus_auth": {**BEARER, "username": "x"}, "prometheus_credential": TOKEN}, "prometheusAuth.username"),
        ({"prometheus_auth": {"mode": "tls"}, "prometheus_credential": TOKEN}, "prometheusAuth.mode"),
    ],
)
def test_credentials_that_do_not_go_together_are_refused_and_not_shown(arguments, path):
    with pytest.raises(InputPropertiesError) as caught:
        team(**arguments)
    assert [detail["property_path"] for detail in caught.value.errors or []] == [path]
    assert TOKEN not in str(caught.value)


def test_a_url_that_carries_credentials_is_refused_by_each_component_and_they_are_not_shown():
    """Of settings: tests/unit/settings_corpus/credentials.yaml."""
    url = f"https://scaler:{TOKEN}@prometheus.example.com/base"
    addons: Any = {"prometheus_url": url}
    for make in (
        lambda: serve(model=SCALED, prometheus_url=url),
        lambda: record(lambda: ClusterAddons("addons", addons)),
    ):
        with pytest.raises(InputPropertiesError, match="prometheusUrl: holds credentials in a URL") as caught:
            make()
        assert TOKEN not in str(caught.value)


def test_credentials_for_the_prometheus_that_the_stack_installs_are_refused():
    (problem,) = problems(prometheus_auth=GCP)
    assert problem.path == "addons.prometheusAuth"
    assert not problems(monitoring="existing", prometheus_url=URL, prometheus_auth=GCP)


def problems(**addons: Any):
    lab = {"cloud": EXISTING, "region": "", "pools": (existing_pool(),), "models": (model(pool="lab"),)}
    return check(stack(**lab, addons=AddonsSpec.model_validate(addons)))
