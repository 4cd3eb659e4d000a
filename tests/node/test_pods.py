"""Pods on the node really run, find each other by name, and reach nothing beyond the machine."""

import json
import urllib.request

from kubernetes.client import ApiException

from local.cluster.layout import Layout
from tests.engine.cluster.helpers import eventually, log_of
from tests.node.helpers import core, deployment, execute, fetch, ready, run_in, service

SERVE = "echo served > /data/index.html; exec /bin/busybox httpd -f -p 8000 -h /data"


def test_a_pod_is_found_by_its_services_name_and_can_be_looked_into(cluster, api, namespace):
    api.apply_all([deployment(namespace, "web", f"echo starting; {SERVE}"), service(namespace, "web")])
    eventually(lambda: ready(api, namespace, "web"))

    phase, log = fetch(api, namespace, "client", f"http://web.{namespace}.svc.cluster.local:8000/")
    assert (phase, log.split()) == ("Succeeded", ["served"])
    phase, log = fetch(api, namespace, "neighbour", "http://web:8000/")
    assert (phase, log.split()) == ("Succeeded", ["served"])

    # The machine reaches the Service's address too, without any forwarding.
    address = api.get("v1", "Service", "web", namespace)["spec"]["clusterIP"]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read():
        try:
            return direct.open(f"http://{address}:8000/", timeout=5).read()
        except OSError:  # late
            return b""

    assert eventually(read) == b"served\n"

    (pod,) = api.list("v1", "Pod", namespace, labels={"app": "web"})
    name = pod["metadata"]["name"]
    assert log_of(api, namespace, name, "c").strip() == "starting"
    assert core(cluster).read_namespaced_pod_log(name, namespace).strip() == "starting"
    assert execute(cluster, namespace, name, "/bin/busybox", "id", "-u").strip() == "1000"
    assert pod["status"]["podIP"] in [str(host) for host in cluster.addresses().pods.hosts()]


def test_pods_do_not_notice_that_the_nodes_programs_are_killed_and_come_back(cluster, api, namespace):
    api.apply(deployment(namespace, "web", SERVE))
    eventually(lambda: ready(api, namespace, "web"))
    (before,) = api.list("v1", "Pod", namespace, labels={"app": "web"})
    for name in ("containerd", "kubelet"):
        restarts = cluster.programs()[name].restarts
        programs = json.loads(Layout(cluster.directory).programs.read_text())
        kill = ["kill", "-9", str(programs[name]["process"]["pid"])]  # a number of the node's own pid namespace
        assert cluster.exec_in_node(kill).returncode == 0
        eventually(lambda name=name, restarts=restarts: cluster.programs()[name].restarts > restarts)
        eventually(lambda name=name: cluster.programs()[name].ready)
    assert eventually(lambda: said(cluster, namespace, before)) == "served"
    (after,) = api.list("v1", "Pod", namespace, labels={"app": "web"})
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert [c["containerID"] for c in after["status"]["containerStatuses"]] == [
        c["containerID"] for c in before["status"]["containerStatuses"]
    ]


def said(cluster, namespace, pod):
    """What the pod's file says, read by a command in it; nothing while the kubelet does not answer."""
    try:
        return execute(cluster, namespace, pod["metadata"]["name"], "/bin/busybox", "cat", "/data/index.html").strip()
    except ApiException:
        return ""


def test_a_pod_reaches_nothing_outside(api, namespace):
    phase, log = run_in(api, namespace, "out", "/bin/busybox wget -O - http://192.0.2.1/ 2>&1")
    assert phase == "Failed"
    assert "unreachable" in log.lower()
    phase, log = run_in(api, namespace, "name", "/bin/busybox nslookup example.org 2>&1")
    assert phase == "Failed"
    assert "can't find example.org" in log


def test_network_policies_hold_on_the_node(api, namespace):
    api.apply_all([deployment(namespace, "web", SERVE), service(namespace, "web")])
    eventually(lambda: ready(api, namespace, "web"))
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]},
    }
    api.apply(policy)
    once = "/bin/busybox timeout 5 /bin/busybox wget -q -O - http://web:8000/; exit $?"
    attempts = iter(range(60))

    def refused():
        return run_in(api, namespace, f"closed-{next(attempts)}", once)[0] == "Failed"

    eventually(refused)
    opened = {"from": [{"podSelector": {}}], "ports": [{"port": 8000}]}
    api.apply({**policy, "spec": {**policy["spec"], "ingress": [opened]}})
    assert fetch(api, namespace, "open", "http://web:8000/") == ("Succeeded", "served\n")


def test_a_container_that_takes_more_memory_than_its_limit_is_killed(api, namespace):
    limit = {"resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "16Mi"}}}
    phase, _ = run_in(api, namespace, "hungry", "/bin/busybox tail /dev/zero", container=limit)
    assert phase == "Failed"
    (status,) = api.get("v1", "Pod", "hungry", namespace)["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"


def test_pods_may_not_write_their_images(api, namespace):
    phase, log = run_in(api, namespace, "writer", "/bin/busybox touch /bin/x 2>&1; /bin/busybox touch /data/x")
    assert phase == "Succeeded"
    assert "Read-only file system" in log
