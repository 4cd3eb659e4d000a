"""NetworkPolicies block what they should."""

import pytest

from local.cluster.rest import Kubernetes
from tests.e2e.served import MODEL, TEAM, Served
from tests.engine.cluster.helpers import log_of
from tests.engine.local_stack import wait_until

SCRIPT = """
import socket, sys, time, urllib.parse, urllib.request
for _ in range(20):  # a busy name server may be late
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(sys.argv[1]).hostname, None)
        break
    except OSError:
        time.sleep(1)
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except OSError as error:
    print(type(error).__name__, error)
"""


def test_pods_of_the_teams_namespace_reach_the_model_by_name(served: Served) -> None:
    assert _ask_from(served, TEAM, f"http://{MODEL}.{TEAM}.svc:8000/v1/models") == "200"


@pytest.mark.parametrize("port", ["http", "health"])
def test_a_pod_of_another_namespace_gets_nothing(served: Served, port: str) -> None:
    (pod,) = served.ready_pods()
    ports = {entry["name"]: entry["containerPort"] for entry in pod["spec"]["containers"][0]["ports"]}
    path = {"http": "/v1/models", "health": "/health"}[port]
    answer = _ask_from(served, "default", f"http://{pod['status']['podIP']}:{ports[port]}{path}")
    assert "timed out" in answer


def test_a_service_name_does_not_lead_around_the_policy(served: Served) -> None:
    assert "timed out" in _ask_from(served, "default", f"http://{MODEL}.{TEAM}.svc:8000/v1/models")


def _ask_from(served: Served, namespace: str, url: str) -> str:
    """What a pod in a namespace prints that asks for an address."""
    kubernetes = served.kubernetes()
    image = served.built["llm-serving:loader"]["image"]
    security = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "ask",
        "image": f"{image['repository']}:{image['tag']}",
        "command": ["python3", "-c", SCRIPT, url],
        "securityContext": security,
    }
    asking = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ask", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [container], "enableServiceLinks": False},
    }
    kubernetes.create(asking)
    try:
        wait_until(lambda: _phase(kubernetes, namespace) == "Succeeded", 120, f"a pod in {namespace} has asked")
        return log_of(kubernetes, namespace, "ask", "ask").strip()
    finally:
        kubernetes.delete(asking)
        wait_until(lambda: kubernetes.find("v1", "Pod", "ask", namespace) is None, 60, "the asking pod is gone")


def _phase(kubernetes: Kubernetes, namespace: str) -> str:
    return kubernetes.get("v1", "Pod", "ask", namespace)["status"].get("phase", "")
