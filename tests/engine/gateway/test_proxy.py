"""What the proxy does with its own objects and a model's, of the real Traefik on a real control plane."""

import os
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests
import trustme

from llm_serving.gateway import Gateway
from llm_serving.gateway.certificates import acme_issuer
from llm_serving.spec import AcmeSpec
from tests.engine.cluster.helpers import eventually
from tests.engine.gateway import lab
from tests.engine.gateway.lab import CANARY, NAMESPACE, PREVIOUS, STABLE
from tests.unit.gateway.offered import arguments
from tests.unit.recording import record
from tests.unit.serving.manifests import manifests

CHAT = "/tiny/v1/chat/completions"
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": None,
}


def ask(proxy, path=CHAT, listener="models", **options):
    return requests.post(proxy.url(listener, path), timeout=60, **options)


def raw(proxy, listener, request):
    """The first line of the answer to a request that no library would send."""
    with socket.create_connection(("127.0.0.1", proxy.ports[listener]), timeout=60) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline().decode().split(" ")[1]


# Releases


def test_releases_share_requests_exactly_by_their_weights(proxy, weighted):
    assert lab.shares(proxy, 300) == {STABLE: 270, CANARY: 30}
    weighted(50)
    assert lab.shares(proxy, 100) == {STABLE: 50, CANARY: 50}
    weighted(0)
    assert lab.shares(proxy, 50) == {STABLE: 50}


def test_an_answer_names_the_release_that_gave_it_and_the_engine_sees_its_own_path(proxy):
    for _ in range(20):
        answer = ask(proxy)
        assert answer.headers["x-llm-release"] == answer.json()["name"]
        assert answer.json()["path"] == "/v1/chat/completions"


@pytest.mark.usefixtures("weighted")
def test_new_weights_lose_no_request(proxy, cluster):
    ends, statuses = threading.Event(), Counter()

    def load():
        with requests.Session() as session:
            while not ends.is_set():
                statuses[session.post(proxy.url("models", CHAT), timeout=60).status_code] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for weight in (50, 100, 0):
            until_weights_hold(proxy, cluster, weight)
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def until_weights_hold(proxy, cluster, weight):
    """Beside other clients a share is not exact: the release that gets all or nothing tells when weights hold."""
    cluster.apply(lab.model_routes(weight))
    expected = {0: {STABLE}, 100: {CANARY}}.get(weight, {STABLE, CANARY})
    eventually(lambda: set(lab.shares(proxy, 20)) == expected)


def test_a_request_gets_the_release_that_it_names_and_no_other(proxy, backends):
    for version in (STABLE, CANARY, PREVIOUS):
        for _ in range(5):
            assert ask(proxy, headers={"x-llm-release": version}).json()["name"] == version
    before = sum(one.asked.total() for one in backends.values())
    answer = ask(proxy, headers={"x-llm-release": "7.7.7"})
    assert (answer.status_code, answer.headers.get("x-llm-release")) == (503, None)
    assert sum(one.asked.total() for one in backends.values()) == before


def test_the_stable_route_never_asks_the_canary(proxy, weighted):
    weighted(100)
    assert {ask(proxy, "/tiny/stable/v1/chat/completions").json()["name"] for _ in range(20)} == {STABLE}


def test_a_canary_without_instances_fails_its_own_share_and_says_so(proxy, cluster, weighted):
    cluster.apply(lab.release_service(CANARY, 9, ready=False))
    eventually(lambda: ask(proxy, headers={"x-llm-release": CANARY}).status_code == 503)
    answers = Counter(
        (answer.status_code, answer.headers["x-llm-release"]) for answer in (ask(proxy) for _ in range(50))
    )
    assert answers == {(200, STABLE): 45, (503, CANARY): 5}
    assert {ask(proxy, "/tiny/stable/v1/chat/completions").status_code for _ in range(20)} == {200}


def test_a_canary_that_refuses_connections_fails_its_own_share_and_says_so(proxy, cluster, weighted):
    gone = lab.Backend("gone")
    gone.close()
    cluster.apply(lab.release_service(CANARY, gone.port))
    eventually(lambda: ask(proxy, headers={"x-llm-release": CANARY}).status_code == 502)
    answers = Counter(
        (answer.status_code, answer.headers["x-llm-release"]) for answer in (ask(proxy) for _ in range(50))
    )
    assert answers == {(200, STABLE): 45, (502, CANARY): 5}


def test_metrics_tell_the_outcomes_of_each_release(proxy):
    lab.shares(proxy, 10)
    lines = requests.get(proxy.url("operations", "/metrics"), timeout=60).text.splitlines()
    counted = [line for line in lines if line.startswith("traefik_service_requests_total{")]
    for service in ("tiny-1-0-0", "tiny-1-1-0"):
        assert any(f"svc-chat-{service}-" in line and 'code="200"' in line for line in counted)


@pytest.mark.parametrize(
    ("listener", "path", "name"), [("models", "/tiny/v1/stream", STABLE), ("edge", "/v1/models/stream", "litellm")]
)
def test_an_answer_is_passed_on_as_it_comes(proxy, backends, listener, path, name):
    backends[name].goes_on.clear()
    headers = {"x-llm-release": STABLE}
    with requests.get(proxy.url(listener, path), stream=True, timeout=60, headers=headers) as answer:
        lines = answer.iter_lines()
        # The back end holds the rest until it is told.
        assert next(lines) == b"data: one"
        backends[name].goes_on.set()
        assert b"data: two" in list(lines)


# The edge


def test_clients_reach_the_paths_of_the_interface_and_nothing_else_of_the_gateway(proxy, backends):
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"):
        assert ask(proxy, path, "edge").json()["path"] == path
        assert requests.get(proxy.url("edge", path), timeout=60).status_code == 404
    for path in ("/v1/models", "/v1/models/tiny"):
        assert requests.get(proxy.url("edge", path), timeout=60).json()["path"] == path
    before = backends["litellm"].asked.total()
    for path in ("/", "/key/generate", "/config/yaml", "/ui", "/docs", "/metrics", "/ping", "/health", "/v1/modelsx",
                 "/v1/chat/completions/x", "/v1", "/tiny/v1/models", "/mcp", "/v1/files"):  # fmt: skip
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            assert requests.request(method, proxy.url("edge", path), timeout=60).status_code == 404
    for path in ("/v1/models/../../key/generate", "/v1/models/%2e%2e/%2e%2e/key/generate", "//key/generate"):
        assert raw(proxy, "edge", f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()) == "404"
    for path in ("/v1/models/..%2f..%2fkey", "/v1/models/%00", "/v1/models/a%5cb"):
        assert raw(proxy, "edge", f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()) == "400"
    assert backends["litellm"].asked.total() == before


def test_headers_that_a_client_makes_up_do_not_pass_for_the_proxys(proxy):
    headers = {"X-Forwarded-For": "10.9.9.9", "X_Llm_Release": "7.7.7", "X-Real-Ip": "10.9.9.9"}
    answer = ask(proxy, "/v1/completions", "edge", headers=headers)
    seen = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert not any("llm" in name for name in seen)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers


def test_a_pod_behind_the_edge_that_died_costs_no_request_while_it_is_still_an_endpoint(proxy, cluster, api):
    other = lab.Backend("other", "127.0.0.2")
    cluster.apply([lab.endpoint("litellm", NAMESPACE, 1, other.port)])
    eventually(lambda: ask(proxy, "/v1/completions", "edge").json()["name"] == "other")
    other.close()
    assert {ask(proxy, "/v1/completions", "edge").status_code for _ in range(20)} == {200}
    api.delete(api.get("discovery.k8s.io/v1", "EndpointSlice", "litellm-1", NAMESPACE))


# Who may attach, and who may read


def test_routes_of_other_namespaces_are_not_served(proxy, cluster, api):
    (weights, _) = lab.model_routes(10)
    stranger = {**weights, "metadata": {"name": "tiny", "namespace": "strangers"}}
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": "/stranger"}}], "backendRefs": []}]
    cluster.apply([{**stranger, "spec": {**stranger["spec"], "rules": rules}}])
    # One of the team that came later is there: so the stranger's was seen, or never will be.
    later = {**weights, "metadata": {"name": "later", "namespace": lab.TEAM}}
    stable = {"name": "tiny-1-0-0", "port": 8000}
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": "/later"}}], "backendRefs": [stable]}]
    cluster.apply([{**later, "spec": {**later["spec"], "rules": rules}}])
    eventually(lambda: proxy.answers("/later") == 200)
    assert proxy.answers("/stranger") == 404
    for name, namespace in (("tiny", "strangers"), ("later", lab.TEAM)):
        api.delete(api.get(lab.GATEWAY_API, "HTTPRoute", name, namespace))


def test_its_gateways_and_routes_are_accepted(proxy, api):
    def conditions(kind, name, namespace):
        status = api.get(lab.GATEWAY_API, kind, name, namespace)["status"]
        parts = status["parents"] if kind == "HTTPRoute" else [status, *status.get("listeners", [])]
        return {each["type"]: each["status"] for part in parts for each in part["conditions"]}

    for kind, name, namespace in (
        ("GatewayClass", "llm-serving", None),
        ("Gateway", "edge", NAMESPACE),
        ("Gateway", "models", NAMESPACE),
        ("HTTPRoute", "edge", NAMESPACE),
        ("HTTPRoute", "ping", NAMESPACE),
        ("HTTPRoute", "tiny", lab.TEAM),
        ("HTTPRoute", "tiny-stable", lab.TEAM),
    ):
        eventually(lambda given=(kind, name, namespace): set(conditions(*given).values()) == {"True"})


def certificate(authority, name, namespace, *hosts):
    """A Secret as cert-manager keeps it, of this authority."""
    leaf = authority.issue_cert(*hosts)
    text = {"tls.crt": leaf.cert_chain_pems[0].bytes().decode(), "tls.key": leaf.private_key_pem.bytes().decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": text,
    }


def test_an_authority_is_answered_without_tls_and_its_certificate_is_served_once_it_is_there(
    cluster, backends, tmp_path
):
    """Certificate and route are those that cert-manager would make: it is not run here."""
    namespace, challenge = "challenged", "/.well-known/acme-challenge/token"
    edge = lab.Proxy(
        cluster,
        tmp_path,
        namespace,
        tls_secret_name="gateway-certificate",
        answers_challenges=True,
        gateway_class=namespace,
    )
    issuer = acme_issuer(AcmeSpec(email="platform@example.com"))
    route = issuer["acme"]["solvers"][0]["http01"]["gatewayHTTPRoute"]
    solver = {
        "apiVersion": lab.GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {"name": "solver", "namespace": namespace, "labels": route["labels"]},
        "spec": {
            "parentRefs": route["parentRefs"],
            "rules": [
                {
                    "matches": [{"path": {"type": "Exact", "value": challenge}}],
                    "backendRefs": [{"name": "solver", "port": 8089}],
                }
            ],
        },
    }
    for name, port in (("litellm", 4000), ("solver", 8089)):
        cluster.apply(lab.service(name, namespace, port, backends["litellm"].port))
    edge.apply()
    cluster.apply([solver])
    with edge.running():
        eventually(lambda: edge.answers(challenge, "edge") == 200)
        assert [edge.answers(path, "edge") for path in ("/v1/models", "/")] == [404, 404]
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")

        def status(path):
            try:
                return requests.get(
                    edge.url("tls", path), verify=str(tmp_path / "authority.pem"), timeout=60
                ).status_code
            except requests.ConnectionError:
                return None

        assert status("/v1/models") is None
        cluster.apply([certificate(authority, "gateway-certificate", namespace, "127.0.0.1")])
        eventually(lambda: status("/v1/models") == 200)
        assert status(challenge) == 404


def test_the_api_server_takes_issuers_and_certificates_as_they_are(cluster):
    tls = {"acme": {"email": "platform@example.com"}}
    redis = {"limits": {"tls": True}, "cache": {"tls": True}}
    settings = {"namespace": NAMESPACE, "host": "llm.example.com", "tls": tls, "redis": redis}
    rendered = manifests(record(lambda: Gateway("gateway", arguments(settings=settings))))
    objects = [each for each in rendered if each["kind"] in ("Issuer", "Certificate")]
    cluster.apply(objects)
    with cluster.client() as api:
        for each in objects:
            path = f"/apis/cert-manager.io/v1/namespaces/{NAMESPACE}/{each['kind'].lower()}s/{each['metadata']['name']}"
            # What the definition does not know is dropped.
            assert api.request("GET", path)["spec"] == each["spec"]
    assert len(objects) == 5


def test_with_its_certificate_the_edge_speaks_tls_alone(cluster, backends, tmp_path):
    authority = trustme.CA()
    secret = certificate(authority, "edge-certificate", "first", "127.0.0.1", "llm.example.com")
    cluster.apply([secret, *lab.service("litellm", "first", 4000, backends["litellm"].port)])
    other = lab.Proxy(cluster, tmp_path, "first", tls_secret_name="edge-certificate", gateway_class="tls")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    other.apply()
    with other.running():
        eventually(lambda: other.answers("/ping") == 200)
        answer = requests.get(other.url("tls", "/v1/models"), verify=str(tmp_path / "authority.pem"), timeout=60)
        assert answer.json()["path"] == "/v1/models"
        said = {name: answer.headers.get(name) for name in SECURITY_HEADERS}
        assert said == SECURITY_HEADERS
        assert requests.get(f"http://127.0.0.1:{other.ports['tls']}/v1/models", timeout=60).status_code == 404


def test_a_pod_without_its_rights_lives_and_is_not_ready(cluster, tmp_path):
    other = lab.Proxy(cluster, tmp_path, "second", gateway_class="second")
    other.apply("RoleBinding")
    with other.running():
        eventually(lambda: "forbidden" in (tmp_path / "traefik.log").read_text())
        assert other.answers("/ping", "operations") == 200
        assert other.answers("/ping") == 404
        other.apply()
        eventually(lambda: other.answers("/ping") == 200, 120)


def test_a_quiet_connection_is_kept_alive_before_a_load_balancer_of_aws_drops_it(proxy):
    with socket.create_connection(("127.0.0.1", proxy.ports["edge"]), timeout=60) as connection:
        ends = (proxy.ports["edge"], connection.getsockname()[1])
        # What is accepted has its options a moment later.
        eventually(lambda: keep_alive_seconds(*ends) is not None)
        seconds = keep_alive_seconds(*ends)
        assert seconds is not None
        assert seconds < 350


def keep_alive_seconds(port, peer_port):
    """When a connection's next keep-alive is due; ``None`` where it has none (Linux, ``proc_net_tcp``: timer 2)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, timer = line.split()[:6]
        if [int(end.partition(":")[2], 16) for end in (local, remote)] == [port, peer_port]:
            kind, _, ticks = timer.partition(":")
            return int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
    return None
