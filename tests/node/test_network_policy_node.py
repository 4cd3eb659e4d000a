"""Network policies hold for pods that the kubelet runs, behind Services, from their first moment on."""

from tests.engine.cluster.helpers import eventually, log_of
from tests.node.helpers import deployment, fetch, pod, ready, run_in, service

SERVE = "echo served > /data/index.html; exec /bin/busybox httpd -f -p 8000 -h /data"
CLIENT = {"llm-serving.dev/client": "yes"}


def policy(namespace, name, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def trying(address, times=5):
    """A script that tries from its first moment on, and says when it got an answer."""
    ask = f"/bin/busybox timeout 1 /bin/busybox wget -q -O - http://{address}/"
    return f"for i in $(/bin/busybox seq {times}); do {ask} && echo reached; done; echo tried"


def labelled(thing):
    return {**thing, "metadata": {**thing["metadata"], "labels": CLIENT}}


def test_under_default_deny_only_what_is_allowed_passes_and_probes_always_do(api, namespace):
    api.create(policy(namespace, "default-deny", policyTypes=["Ingress", "Egress"]))
    dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    web = {"podSelector": {"matchLabels": {"app": "web"}}}
    client = {"podSelector": {"matchLabels": CLIENT}}
    ports = [{"port": 8000}]
    api.create(policy(namespace, "web", **web, ingress=[{"from": [client], "ports": ports}]))
    names = {"to": [dns], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}
    api.create(
        policy(namespace, "client", **client, policyTypes=["Egress"], egress=[names, {"to": [web], "ports": ports}])
    )
    api.apply_all([deployment(namespace, "web", SERVE), service(namespace, "web")])
    eventually(lambda: ready(api, namespace, "web"))  # its probe comes from the node

    ask = "/bin/busybox timeout 3 /bin/busybox wget -q -O - http://web:8000/"
    api.create(labelled(pod(namespace, "client", f"until {ask}; do /bin/busybox sleep 0.2; done")))
    eventually(lambda: api.get("v1", "Pod", "client", namespace)["status"].get("phase") == "Succeeded")
    assert "served" in log_of(api, namespace, "client", "c")

    address = api.get("v1", "Service", "web", namespace)["spec"]["clusterIP"]
    phase, log = run_in(api, namespace, "stranger", trying(f"{address}:8000"))
    assert phase == "Succeeded"
    assert "tried" in log
    assert "reached" not in log


def test_a_closed_pod_is_closed_from_its_first_moment_on_while_its_neighbour_gets_through(api, namespace):
    api.apply_all([deployment(namespace, "web", SERVE), service(namespace, "web")])
    eventually(lambda: ready(api, namespace, "web"))
    address = api.get("v1", "Service", "web", namespace)["spec"]["clusterIP"]
    assert fetch(api, namespace, "before", f"http://{address}:8000/")[0] == "Succeeded"
    api.create(policy(namespace, "closed", podSelector={"matchLabels": CLIENT}, policyTypes=["Egress"]))
    assert fetch(api, namespace, "open", f"http://{address}:8000/")[0] == "Succeeded"
    api.create(labelled(pod(namespace, "closed", trying(f"{address}:8000"))))
    eventually(lambda: api.get("v1", "Pod", "closed", namespace)["status"].get("phase") == "Succeeded")
    log = log_of(api, namespace, "closed", "c")
    assert "tried" in log
    assert "reached" not in log
