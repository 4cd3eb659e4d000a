"""Certificates that cert-manager makes: objects that its definitions take, in Secrets that the right pods read."""

import json
from typing import Any

import pytest

from llm_serving.addons import table
from llm_serving.gateway import Gateway, GatewayProxy
from llm_serving.spec import GatewaySpec
from tests.unit.gateway.offered import arguments
from tests.unit.recording import Recording, record
from tests.unit.serving.crds import assert_valid
from tests.unit.serving.manifests import manifests

HOST = "llm.example.com"
OVER_HTTP = {"acme": {"email": "platform@example.com"}}
BY_DNS = {"acme": {"email": "platform@example.com", "dns01": {"cloudDNS": {"project": "example"}}}}
EXISTING = {"issuer": {"name": "private-ca"}}
SECURED_REDIS = {"limits": {"tls": True}, "cache": {"tls": True}}
FILES = {"Issuer": "issuers", "Certificate": "certificates"}


def gateway(**settings: Any) -> Recording:
    return record(lambda: Gateway("gateway", arguments(settings={"host": HOST, **settings})))


def made(recording: Recording, kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["spec"] for each in manifests(recording) if each["kind"] == kind}


@pytest.mark.parametrize("settings", [{"tls": OVER_HTTP}, {"tls": BY_DNS}, {"tls": EXISTING}, {"redis": SECURED_REDIS}])
def test_every_object_is_one_that_cert_manager_takes(settings: Any) -> None:
    objects = [each for each in manifests(gateway(**settings)) if each["kind"] in FILES]
    assert objects
    for each in objects:
        assert_valid(each, f"cert-manager/cert-manager.io_{FILES[each['kind']]}.yaml")


def test_nothing_is_asked_of_cert_manager_where_a_certificate_is_there() -> None:
    recording = gateway(tls={"secretName": "llm"})
    assert not made(recording, "Certificate")
    assert not made(recording, "Issuer")


def test_the_certificate_is_for_the_host_and_of_the_issuer_that_is_named() -> None:
    certificates = made(gateway(tls=EXISTING), "Certificate")
    (spec,) = certificates.values()
    assert spec["dnsNames"] == [HOST]
    assert spec["issuerRef"] == {"name": "private-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert not made(gateway(tls=EXISTING), "Issuer")


def test_an_authority_is_answered_by_a_route_that_the_proxy_reads_on_the_listener_that_is_there() -> None:
    (issuer,) = made(gateway(tls=OVER_HTTP), "Issuer").values()
    (solver,) = issuer["acme"]["solvers"]
    route = solver["http01"]["gatewayHTTPRoute"]
    (parent,) = route["parentRefs"]
    edge: Any = {
        "namespace": "llm-gateway",
        "team_namespaces": {},
        "image": "registry.example/proxy:1",
        "tls_secret_name": "gateway-certificate",
        "answers_challenges": True,
    }
    proxy = manifests(record(lambda: GatewayProxy("proxy", edge)))
    (gateway_object,) = [
        each for each in proxy if each["kind"] == "Gateway" and each["metadata"]["name"] == parent["name"]
    ]
    assert parent["sectionName"] in {each["name"] for each in gateway_object["spec"]["listeners"]}
    # Traefik is told to read what has this label.
    assert route["labels"].items() <= gateway_object["metadata"]["labels"].items()


def test_a_solver_for_dns_is_passed_on_as_it_is_given() -> None:
    (issuer,) = made(gateway(tls=BY_DNS), "Issuer").values()
    assert issuer["acme"]["solvers"] == [{"dns01": BY_DNS["acme"]["dns01"]}]
    assert issuer["acme"]["server"] == "https://acme-v02.api.letsencrypt.org/directory"


def test_cert_manager_and_its_answers_are_let_through_for_an_authority_over_http_alone() -> None:
    def policies(tls: Any) -> dict[str, Any]:
        return {name: json.dumps(spec) for name, spec in made(gateway(tls=tls), "NetworkPolicy").items()}

    over_http = policies(OVER_HTTP)
    assert "8089" in over_http["acme-solver"]
    assert "8089" in over_http["proxy-egress"]
    assert table.CERT_MANAGER.namespace in over_http["clients"]
    by_dns = policies(BY_DNS)
    assert "acme-solver" not in by_dns
    assert "8089" not in by_dns["proxy-egress"]


@pytest.mark.parametrize("deployment", ["gateway", "gateway-worker"])
def test_pods_of_litellm_and_workers_have_the_authority_of_a_redis_and_never_its_key(deployment: str) -> None:
    recording = gateway(redis=SECURED_REDIS)
    certificates = made(recording, "Certificate")
    document = json.loads(
        next(each["data"]["gateway.json"] for each in recording.all("ConfigMap") if "gateway.json" in each["data"])
    )
    pod = recording.one("Deployment", deployment)["spec.template.spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for store in ("limits", "cache"):
        endpoint = document["redis"][store]
        folder, _, file = endpoint["authorityFile"].rpartition("/")
        secret = volumes[mounts[folder]]["secret"]
        assert endpoint["tls"] is True
        assert secret["items"] == [{"key": file, "path": file}]
        (host,) = certificates[secret["secretName"]]["dnsNames"]
        assert host == endpoint["host"]


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({}, False),
        ({"tls": {"secretName": "llm"}}, False),
        ({"tls": EXISTING}, False),
        ({"tls": OVER_HTTP}, True),
        ({"redis": {"limits": {"tls": True}}}, True),
        # Whoever has made an issuer has a cert-manager.
        ({"redis": {"limits": {"tls": True}}, "tls": EXISTING}, False),
        ({"redis": {"limits": {"tls": True, "host": "redis.example.com"}}}, False),
    ],
)
def test_cert_manager_is_installed_for_certificates_that_nobody_else_makes(settings: Any, needs: bool) -> None:
    image = {"repository": "registry.example/image", "tag": "1"}
    spec = GatewaySpec.model_validate({"image": image, "proxyImage": image, "host": HOST, **settings})
    assert table.CERT_MANAGER.needed_by_gateway(spec) is needs
