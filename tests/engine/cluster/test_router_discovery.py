"""A release's router finds its engines by a real API server, with no more rights than its account has."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from llm_serving.contract import LABEL_RELEASE
from llm_serving.gateway import router_pod
from llm_serving.serving.labels import selector
from llm_serving.spec import ModelSpec, RouterSpec, RoutingPolicy
from local.cluster.rest import Kubernetes
from tests.engine.cluster.helpers import eventually
from tests.images.launched import PATIENCE, REPOSITORY, free_port
from tests.images.routed import Router, interpreter, routing

STAND_IN = REPOSITORY / "tests" / "stand_in" / "engine.py"
RELEASE = selector(ModelSpec.model_construct(name="tiny-llama"), "1.0.0")
HOSTS = ("127.0.0.2", "127.0.0.3")
GRACE_SECONDS = 600
"""A pod that goes stays for all of the test: no kubelet ends it."""


@pytest.fixture(scope="module")
def engine_port() -> Iterator[int]:
    """Engines on addresses of their own and one port, as pods have them."""
    port = free_port()
    options = [f"--port={port}", "--served-model-name=tiny-llama"]
    command = [str(interpreter()), str(STAND_IN), "serve", "weights", *options]
    processes = [subprocess.Popen([*command, f"--host={host}"]) for host in HOSTS]
    yield port
    for process in processes:
        process.kill()
        process.wait(PATIENCE)


@pytest.fixture
def router(api: Kubernetes, cluster: Any, namespace: str, engine_port: int, tmp_path: Any) -> Iterator[Router]:
    """A router with the token of an account that has the component's rights."""
    metadata = {"name": "router", "namespace": namespace}
    account = api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": list(router_pod.POD_VERBS)}]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata}
    api.create({**rbac, "kind": "Role", "rules": rules})
    subject = {"kind": "ServiceAccount", **metadata}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "router"}
    api.create({**rbac, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request("POST", api.path_of(account, "token"), body=asked)["status"]["token"]
    kubeconfig = {**cluster.kubeconfig(), "users": [{"name": "admin", "user": {"token": token}}]}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    options = router_pod.discovery_options(namespace, RELEASE, engine_port)
    with routing(RouterSpec(), RoutingPolicy.ROUND_ROBIN, *options, KUBECONFIG=str(tmp_path / "kubeconfig")) as router:
        yield router


def hosts(router: Router) -> set[str]:
    """Addresses of the engines that get requests."""
    urls = json.loads(router.ask("GET", "/list_workers")[2])["urls"]
    return {url.removeprefix("http://").partition(":")[0] for url in urls}


def put_pod(
    api: Kubernetes, namespace: str, name: str, host: str, *, ready: bool = True, release: str = "1.0.0"
) -> None:
    """A pod on a node that nobody keeps, with an address."""
    metadata = {"name": name, "namespace": namespace, "labels": {**RELEASE, LABEL_RELEASE: release}}
    spec = {
        "nodeName": "nobodys",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [{"name": "engine", "image": "x"}],
    }
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    set_status(api, namespace, name, host, ready=ready)


def set_status(api: Kubernetes, namespace: str, name: str, host: str, *, ready: bool) -> None:
    """What a kubelet would say of it."""
    condition = {"type": "Ready", "status": str(ready)}
    status = {"phase": "Running", "podIP": host, "podIPs": [{"ip": host}], "conditions": [condition]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
    api.patch(pod, {"status": status}, "status")


def test_a_router_asks_the_ready_engines_of_its_release_and_none_that_goes(
    api: Kubernetes, namespace: str, router: Router
) -> None:
    first, second = HOSTS
    assert router.status("/readiness") == 503
    put_pod(api, namespace, "canary", second, release="1.1.0")
    put_pod(api, namespace, "starting", second, ready=False)
    put_pod(api, namespace, "stable", first)
    eventually(lambda: hosts(router) == {first})
    assert router.status("/readiness") == 200
    set_status(api, namespace, "starting", second, ready=True)
    eventually(lambda: hosts(router) == {first, second})
    set_status(api, namespace, "stable", first, ready=False)
    eventually(lambda: hosts(router) == {second})
    set_status(api, namespace, "stable", first, ready=True)
    eventually(lambda: hosts(router) == {first, second})
    # It is asked to go, and is there until it has finished its requests.
    api.delete(api.get("v1", "Pod", "stable", namespace))
    eventually(lambda: hosts(router) == {second})
    assert api.get("v1", "Pod", "stable", namespace)["metadata"]["deletionTimestamp"]
    assert [router.chat(max_tokens=1) for _ in range(4)] == [200] * 4
