"""The loader at a site that prescribes the way out: a mirror of the hub, a proxy, certificates of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_serving_load import outbound

from tests.images.hub import Hub
from tests.images.models import NEVER, contents, is_of_a_cloud, load, put, whole
from tests.images.proxy import Site
from tests.images.storage import Bucket, GoogleBucket, S3Bucket

_HUB, _NETWORK, _STORE = "mirror.site.test", "network.site.test", "store"
_PLACE = "cache/tiny/1.0.0"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leads out of here: no account, store, proxy or certificates of whoever runs the tests."""
    for name in filter(is_of_a_cloud, list(os.environ)):
        monkeypatch.delenv(name)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    serving = Hub(whole())
    yield serving
    serving.close()


@pytest.fixture
def site(hub: Hub, tmp_path: Path) -> Iterator[Site]:
    opened = Site({_HUB: hub.url, _NETWORK: hub.network}, tmp_path)
    hub.public_network = f"https://{_NETWORK}"
    yield opened
    opened.close()


@pytest.fixture(params=[S3Bucket, GoogleBucket], ids=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    opened: Bucket = request.param()
    yield opened
    opened.close()


def test_a_mirror_is_reached_through_the_proxy_with_the_sites_certificates(site: Site, tmp_path: Path) -> None:
    status, _, errors = load(
        "hf://",
        tmp_path / "cache",
        HF_ENDPOINT=f"https://{_HUB}",
        HTTPS_PROXY=site.proxy,
        SSL_CERT_FILE=str(site.bundle),
    )
    assert (status, errors) == (0, "")
    assert {_HUB, _NETWORK} == {*site.visited}
    assert {**contents(tmp_path / "cache"), "manifest.json": b""} == {**whole(), "manifest.json": b""}


def test_a_mirror_without_tls_is_reached_through_the_proxy(hub: Hub, site: Site, tmp_path: Path) -> None:
    hub.public_network = f"http://{_NETWORK}"
    status, _, errors = load("hf://", tmp_path / "cache", HF_ENDPOINT=f"http://{_HUB}", HTTP_PROXY=site.proxy)
    assert (status, errors) == (0, "")
    assert {_HUB, _NETWORK} == {*site.visited}


def test_what_the_site_excepts_is_reached_without_the_proxy(hub: Hub, site: Site, tmp_path: Path) -> None:
    hub.public_network = None
    status, _, errors = load(
        "hf://", tmp_path / "cache", HF_ENDPOINT=hub.url, HTTP_PROXY=site.proxy, NO_PROXY="site.test,127.0.0.1"
    )
    assert (status, errors) == (0, "")
    assert site.visited == []


def test_a_store_is_reached_through_the_proxy_with_the_sites_certificates(bucket: Bucket, tmp_path: Path) -> None:
    put(tmp_path / "source", whole())
    (plain,) = [value for value in bucket.variables.values() if value.startswith("http://")]
    site = Site({_STORE: plain}, tmp_path)
    variables = {name: value.replace(plain, f"https://{_STORE}") for name, value in bucket.variables.items()}
    try:
        status, _, errors = load(
            tmp_path / "source",
            f"{bucket.url}/{_PLACE}",
            HTTPS_PROXY=site.proxy,
            SSL_CERT_FILE=str(site.bundle),
            **variables,
        )
    finally:
        site.close()
    assert (status, errors) == (0, "")
    assert {*site.visited} == {_STORE}
    assert any("manifest.json" in line for line in bucket.faults.requests)


def test_certificates_that_nobody_vouches_for_are_refused_for_good_with_the_variable_to_set(
    bucket: Bucket, site: Site, hub: Hub, tmp_path: Path
) -> None:
    status, _, errors = load("hf://", tmp_path / "cache", HF_ENDPOINT=f"https://{_HUB}", HTTPS_PROXY=site.proxy)
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert f"https://{_HUB}: a certificate on the way is not trusted" in errors
    assert "SSL_CERT_FILE" in errors
    put(tmp_path / "source", whole())
    variables = {
        name: f"https://{_HUB}" if value.startswith("http://") else value for name, value in bucket.variables.items()
    }
    status, _, errors = load(tmp_path / "source", f"{bucket.url}/{_PLACE}", HTTPS_PROXY=site.proxy, **variables)
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert f"{bucket.url}: a certificate on the way is not trusted" in errors


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    status, _, errors = load("hf://", tmp_path / "cache", SSL_CERT_FILE=str(tmp_path / "none.pem"))
    assert status == NEVER
    assert errors.startswith(f"error: SSL_CERT_FILE '{tmp_path}/none.pem': it is no file that can be read")


def test_no_proxy_is_asked_for_the_pods_own_identity() -> None:
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8,.internal"}
    outbound.prepare(environment)
    exceptions = environment["NO_PROXY"].split(",")
    assert exceptions[:2] == ["10.0.0.0/8", ".internal"]
    assert {"169.254.169.254", "metadata.google.internal", "169.254.170.23"} < {*exceptions}
    assert environment["no_proxy"] == environment["NO_PROXY"]
    outbound.prepare(environment)
    assert environment["NO_PROXY"].split(",") == exceptions


def test_nothing_changes_without_a_proxy_or_certificates() -> None:
    environment = {"HOME": "/tmp"}
    outbound.prepare(environment)
    assert environment == {"HOME": "/tmp"}
