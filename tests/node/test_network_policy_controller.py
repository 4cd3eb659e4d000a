"""The enforcer follows a real API server: what is written there holds for real connections a moment later."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from local.cluster import LocalCluster, rest
from local.cluster.layout import REPOSITORY, missing_programs
from local.cluster.network_policy.nftables import TABLE
from tests.node.network_policy_lab import Lab, unusable

pytestmark = pytest.mark.skipif(bool(unusable()), reason=f"NOT TESTED: {unusable()}")

NODE = "policy-node"
WEB, DB = "10.244.0.2", "10.244.0.3"
ATTEMPT = (DB, WEB, "TCP", 80)


@pytest.fixture(scope="module")
def lab():
    made = Lab()
    try:
        for address in (WEB, DB):
            made.add(address, tcp=(80,))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def cluster(lab, tmp_path_factory):
    """A control plane inside the node's namespace, where its 127.0.0.1 is."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"NOT TESTED, for want of {', '.join(missing)}: run `make setup`")
    made = LocalCluster(Path(tmp_path_factory.mktemp("cluster")) / "c")
    try:
        lab.node.run(made.create)
        yield made
    finally:
        lab.node.run(made.delete)


@pytest.fixture(scope="module")
def api(lab, cluster):
    """The administrator's connection, used from the node's namespace."""
    client = cluster.client()

    class ClientInNamespace:
        def __getattr__(self, name):
            return lambda *arguments, **named: lab.node.run(getattr(client, name), *arguments, **named)

    client_in_namespace = ClientInNamespace()
    client_in_namespace.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    return client_in_namespace


@contextlib.contextmanager
def enforcing(lab, directory, folder):
    """The enforcer as a program; what it says goes to ``folder/log``."""
    ready = folder / "ready"
    ready.write_text("from another day")
    command = [sys.executable, "-m", "local.cluster.network_policy", str(directory), "--identity=admin"]
    command += ["--pod-range=10.244.0.0/24", f"--node={NODE}", f"--ready-file={ready}"]
    with (folder / "log").open("a") as log:
        process = lab.node.run(subprocess.Popen, command, cwd=REPOSITORY, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def in_sync(folder):
    ready = folder / "ready"
    return ready.exists() and ready.read_text() == "in sync\n"


@pytest.fixture
def enforcer(lab, api, cluster, tmp_path):
    with enforcing(lab, cluster.directory, tmp_path) as process:
        until(lambda: in_sync(tmp_path))
        yield process
        assert process.poll() is None, (tmp_path / "log").read_text()
    lab.node.nft(f"delete table inet {TABLE}")
    assert works(lab)


@pytest.fixture
def namespace(api):
    """A namespace with two pods, ``web`` and ``db``, that have the addresses of the lab."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for pod, address in (("web", WEB), ("db", DB)):
        place(api, name, pod, address)
    yield name
    for pod in api.list("v1", "Pod", name):
        api.delete(pod, grace_seconds=0)
    for policy in api.list("networking.k8s.io/v1", "NetworkPolicy", name):
        api.delete(policy)
    api.delete(made)


def place(api, namespace, name, address):
    """A pod on the node, as a kubelet would report it."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "main", "image": "none", "ports": [{"name": "http", "containerPort": 80}]}],
        },
    }

    def create():
        try:
            return api.create(pod)
        except rest.ApiError as error:  # a new namespace's service account comes a moment later
            if "serviceaccount" in str(error):
                return None
            raise

    made = until(create)
    api.patch(made, {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}, "status")
    return made


def policy(namespace, name, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def until(condition, seconds=60):
    """What the condition gives once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.1)
    return value


def refused(lab):
    return not lab.probe({ATTEMPT: False})


def works(lab):
    return ATTEMPT in lab.probe({ATTEMPT: True})


def test_policies_pods_and_namespaces_are_followed(lab, api, enforcer, namespace):
    until(lambda: works(lab))
    web = {"matchLabels": {"app": "web"}}
    policy_of_web = policy(
        namespace,
        "web",
        podSelector=web,
        ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"may": "yes"}}, "podSelector": web}]}],
    )
    api.create(policy_of_web)
    until(lambda: refused(lab))
    api.patch(api.get("v1", "Pod", "db", namespace), {"metadata": {"labels": {"app": "web"}}})
    api.patch(api.get("v1", "Namespace", namespace), {"metadata": {"labels": {"may": "yes"}}})
    until(lambda: works(lab))
    api.patch(api.get("v1", "Namespace", namespace), {"metadata": {"labels": {"may": "no"}}})
    until(lambda: refused(lab))
    api.delete(policy_of_web)
    until(lambda: works(lab))


def test_a_pod_that_has_gone_leaves_its_address_closed(lab, api, enforcer, namespace):
    api.create(policy(namespace, "open", ingress=[{}]))
    until(lambda: works(lab))
    api.delete(api.get("v1", "Pod", "db", namespace), grace_seconds=0)
    until(lambda: refused(lab))


def test_a_misspelt_port_is_told_in_an_event_on_the_policy(api, enforcer, namespace):
    api.create(policy(namespace, "misspelt", ingress=[{"ports": [{"port": "htpp"}]}]))

    def told():
        fields = "involvedObject.kind=NetworkPolicy,involvedObject.name=misspelt"
        return api.list("v1", "Event", namespace, fields=fields)

    (event,) = until(told)
    assert event["reason"] == "NamedPortNotFound"
    assert event["type"] == "Warning"
    assert "'htpp'" in event["message"]


def test_a_table_that_somebody_removed_comes_back(lab, api, enforcer, namespace):
    api.create(policy(namespace, "deny", policyTypes=["Ingress"]))
    until(lambda: refused(lab))
    lab.node.nft(f"delete table inet {TABLE}")
    until(lambda: refused(lab))


def test_rules_hold_while_the_api_server_is_away_and_are_followed_again_after_it(
    lab, cluster, api, enforcer, namespace
):
    deny = policy(namespace, "deny", policyTypes=["Ingress"])
    api.create(deny)
    until(lambda: refused(lab))
    lab.node.run(cluster.stop)
    assert refused(lab)
    lab.node.run(cluster.start)
    api.delete(deny)
    until(lambda: works(lab))


def test_it_ends_when_told_and_leaves_the_rules_in_place(lab, api, cluster, namespace, tmp_path):
    with enforcing(lab, cluster.directory, tmp_path) as process:
        until(lambda: in_sync(tmp_path))
        api.create(policy(namespace, "deny", policyTypes=["Ingress"]))
        until(lambda: refused(lab))
        process.terminate()
        assert process.wait(30) == 0
    assert refused(lab)
    assert "in sync" in (tmp_path / "log").read_text()
    lab.node.nft(f"delete table inet {TABLE}")


def test_pods_are_closed_and_the_end_is_explained_when_the_api_server_refuses(lab, cluster, api, tmp_path):
    stranger = tmp_path / "stranger"
    shutil.copytree(cluster.directory, stranger, ignore=shutil.ignore_patterns("etcd", "logs", "run"))
    tokens = stranger / "credentials" / "tokens.json"
    tokens.write_text(json.dumps(json.loads(tokens.read_text()) | {"admin": "wrong"}))
    with enforcing(lab, stranger, tmp_path) as process:
        assert process.wait(30) == 1
    assert "the API server refuses" in (tmp_path / "log").read_text()
    assert not (tmp_path / "ready").exists()
    assert refused(lab)
    lab.node.nft(f"delete table inet {TABLE}")


def test_a_folder_that_holds_no_cluster_is_named(lab, tmp_path):
    with enforcing(lab, tmp_path / "missing", tmp_path) as process:
        assert process.wait(30) == 1
    assert str(tmp_path / "missing") in (tmp_path / "log").read_text()
