"""The real Traefik on a real control plane, as the components make it: its objects, its rights, its arguments. What
differs is where it runs, a process beside the cluster, and with it its ports. Back ends are threads of the test."""

import base64
import contextlib
import copy
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from llm_serving import GatewayProxy, ModelRoute
from local.cluster import LocalCluster, ports
from tests.engine.cluster.helpers import eventually
from tests.engine.gateway.environment import traefik
from tests.unit.recording import record
from tests.unit.serving.manifests import manifests

GATEWAY_API = "gateway.networking.k8s.io/v1"
NAMESPACE, TEAM = "llm-gateway", "chat"
STABLE, CANARY, PREVIOUS = "1.0.0", "1.1.0", "0.9.0"
_PORTS = {"edge": 8080, "tls": 8443, "models": 8081, "operations": 8082}


class Backend:
    """A program that says which one it is and what it was asked; a path that ends in ``/stream`` sends its second part
    when it is told."""

    def __init__(self, name: str, address: str = "127.0.0.1") -> None:
        self.name = name
        self.asked: Counter[str] = Counter()
        self.goes_on = threading.Event()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # A header and a short body in two packets wait 40 ms for each other.
            wbufsize = 65536

            def do_GET(self) -> None:
                backend.asked[self.path] += 1
                if self.path.endswith("/stream"):
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self._chunk(b"data: one\n\n")
                    backend.goes_on.wait()
                    self._chunk(b"data: two\n\n")
                    self._chunk(b"")
                    return
                self._answer()

            def do_POST(self) -> None:
                backend.asked[self.path] += 1
                self._answer(self._body())

            def _answer(self, body: bytes = b"") -> None:
                said = {"name": backend.name, "path": self.path, "bytes": len(body), "headers": dict(self.headers)}
                text = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline() or b"0", 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def close(self) -> None:
        """End it; connections to its port are refused."""
        self._server.shutdown()
        self._server.server_close()


def service(name: str, namespace: str, port: int, target: int, *, ready: bool = True) -> list[dict[str, Any]]:
    """A Service and its one endpoint on this machine, whose address the API server takes in place of a name alone."""
    metadata = {"name": name, "namespace": namespace}
    endpoint = {"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "FQDN",
            "ports": [{"name": "http", "port": target, "protocol": "TCP"}],
            "endpoints": [endpoint],
        },
    ]


def endpoint(service_name: str, namespace: str, number: int, port: int, *, ready: bool = True) -> dict[str, Any]:
    """One of several endpoints of a Service: each has an address of its own, for of equal ones Traefik takes one."""
    (_, piece) = service(service_name, namespace, 0, port, ready=ready)
    piece["endpoints"][0]["addresses"] = [f"127.0.0.{number + 1}"]
    return {**piece, "metadata": {**piece["metadata"], "name": f"{service_name}-{number}"}}


def release_service(version: str, target: int, **options: Any) -> list[dict[str, Any]]:
    """The Service of a release of the model ``tiny``."""
    return service(f"tiny-{version.replace('.', '-')}", TEAM, 8000, target, **options)


def model_routes(weight: int) -> list[dict[str, Any]]:
    """The routes of the model ``tiny``, as its component makes them."""
    canary = {"release": CANARY, "weight": weight}
    releases = {"stable": STABLE, "canary": canary, "previous": PREVIOUS}
    arguments = {
        "model": {"name": "tiny", "team": TEAM, "pool": "cpu", "releases": releases},
        "namespace": TEAM,
        "parents": [{"name": "models", "namespace": NAMESPACE}],
        "release_urls": {
            version: f"http://tiny-{version.replace('.', '-')}.chat.svc:8000/v1"
            for version in (STABLE, CANARY, PREVIOUS)
        },
    }
    return manifests(record(lambda: ModelRoute("tiny", arguments)))  # pyright: ignore[reportArgumentType]


class Proxy:
    """What ``GatewayProxy`` makes, with one of its pods as a process.

    Attributes:
        ports: where it listens, by name.
        address: where it listens on them.
        folder: its files.
    """

    def __init__(self, cluster: LocalCluster, folder: Path, namespace: str, **changes: Any) -> None:
        self._cluster, self.folder, self._namespace = cluster, folder, namespace
        self.address = "127.0.0.1"
        self._process: subprocess.Popen[bytes] | None = None
        with ports.choosing():
            self.ports = ports.choose(tuple(_PORTS), {})
        arguments = {
            "namespace": namespace,
            "team_namespaces": {},
            "image": "traefik:v3.7.15",
            **changes,
        }
        self.objects = manifests(record(lambda: GatewayProxy("proxy", arguments)))  # pyright: ignore[reportArgumentType]

    def beside(self, folder: Path, address: str) -> "Proxy":
        """Another of its pods, on the same ports of another address."""
        other = copy.copy(self)
        other.folder, other.address = folder, address
        return other

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its objects of a kind, for the cluster."""
        return [self._elsewhere(one) for one in self.objects if one["kind"] == kind]

    def apply(self, *left_out: str) -> None:
        """Put its objects into the cluster, but for its pods, its Services, and kinds that are left out."""
        hidden = {"Deployment", "Service", "PodDisruptionBudget", "ConfigMap", *left_out}
        self._cluster.apply([self._elsewhere(one) for one in self.objects if one["kind"] not in hidden])

    def url(self, listener: str, path: str) -> str:
        """Where one of its listeners is asked for a path."""
        return f"{'https' if listener == 'tls' else 'http'}://{self.address}:{self.ports[listener]}{path}"

    def answers(self, path: str, listener: str = "models") -> int | None:
        """Status of its answer; ``None`` where nobody listens."""
        try:
            return requests.get(self.url(listener, path), timeout=30).status_code
        except requests.ConnectionError:
            return None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Its process."""
        self.start()
        try:
            yield
        finally:
            self.end()

    def start(self) -> None:
        """Start its process, and wait until it lives."""
        with (self.folder / "traefik.log").open("w") as log:
            self._process = subprocess.Popen([traefik(), *self._arguments()], stdout=log, stderr=subprocess.STDOUT)
        eventually(lambda: self.answers("/ping", "operations") == 200)

    def end(self) -> None:
        """End its process without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _arguments(self) -> list[str]:
        (deployment,) = (one for one in self.objects if one["kind"] == "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (files,) = (one["data"] for one in self.objects if one["kind"] == "ConfigMap")
        for name, text in files.items():
            (self.folder / name).write_text(text)
        listening = {f":{port}": f"{self.address}:{self.ports[name]}" for name, port in _PORTS.items()}
        mount = container["volumeMounts"][0]["mountPath"]
        arguments = []
        for argument in container["args"]:
            flag, _, value = argument.partition("=")
            arguments.append(f"{flag}={listening.get(value, value).replace(mount, str(self.folder))}")  # pyright: ignore[reportOptionalMemberAccess]
        return [*arguments, *self._identity(deployment["spec"]["template"]["spec"]["serviceAccountName"])]

    def _identity(self, account: str) -> list[str]:
        """What a pod finds in its own files: the API server, its authority, and a token of the account."""
        with self._cluster.client() as api:
            path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            token = api.request("POST", path, body=asked)["status"]["token"]
        (cluster,) = self._cluster.kubeconfig()["clusters"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"])
        (self.folder / "token").write_text(token)
        (self.folder / "ca.crt").write_bytes(authority)
        return [
            f"--providers.kubernetesgateway.endpoint={cluster['cluster']['server']}",
            f"--providers.kubernetesgateway.token={self.folder / 'token'}",
            f"--providers.kubernetesgateway.certauthfilepath={self.folder / 'ca.crt'}",
        ]

    def _elsewhere(self, thing: dict[str, Any]) -> dict[str, Any]:
        """An object with the ports of this process."""
        if thing["kind"] != "Gateway":
            return thing
        numbers = {port: self.ports[name] for name, port in _PORTS.items()}
        listeners = [{**each, "port": numbers[int(each["port"])]} for each in thing["spec"]["listeners"]]
        return {**thing, "spec": {**thing["spec"], "listeners": listeners}}


def shares(proxy: Proxy, number: int) -> Counter[str]:
    """How many of as many requests each release answered, by the header that names it."""
    with requests.Session() as session:
        answers = [session.post(proxy.url("models", "/tiny/v1/chat/completions"), timeout=60) for _ in range(number)]
    return Counter(answer.headers.get("x-llm-release", "") for answer in answers)
