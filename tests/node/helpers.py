"""Objects that these tests put into a cluster, and what they ask of it."""

import json
import os
import subprocess
from pathlib import Path

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.config import new_client_from_config_dict
from kubernetes.stream import stream

from local.cluster.node import requirements
from local.cluster.node.addresses import SLOT_LINKS
from local.cluster.node.cgroups import hierarchies
from local.cluster.node.machine import MARKER
from local.cluster.node.paths import COVERED
from tests.engine.cluster.helpers import eventually, log_of

__all__ = [
    "IMAGE",
    "claim",
    "core",
    "deployment",
    "eventually",
    "fetch",
    "holds",
    "machine_state",
    "pod",
    "processes_of",
    "ready",
    "run_in",
    "service",
    "traces",
]

IMAGE = "localhost/llm-serving-tests/busybox:1"
_MOUNTS = ("/proc", "/run", "/sys", "/tmp", *map(str, COVERED))
_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def container(script, **more):
    """A container that runs a shell script; unprivileged in every way."""
    return {
        "name": "c",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/busybox", "sh", "-c", script],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **more,
    }


def pod_spec(script, claim_name=None, **more):
    """What a pod is made of: a script, and a volume at /data."""
    volume = {"persistentVolumeClaim": {"claimName": claim_name}} if claim_name else {"emptyDir": {"medium": "Memory"}}
    one = container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}], **more.pop("container", {}))
    return {
        "containers": [one],
        "volumes": [{"name": "data", **volume}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "enableServiceLinks": False,
        "nodeSelector": {"llm-serving.dev/pool": "cpu"},
        **more,
    }


def pod(namespace, name, script, **more):
    """A pod that runs a script once."""
    spec = {"restartPolicy": "Never", **pod_spec(script, **more)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def deployment(namespace, name, script, port=8000, **more):
    """A deployment whose pods listen at a port."""
    labels = {"app": name}
    probe = {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}
    spec = pod_spec(script, container=probe, **more)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service(namespace, name, port=8000):
    """A Service in front of a deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }


def claim(namespace, name, **more):
    """A claim of the default storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **more},
    }


def ready(api, namespace, name):
    """The deployment's pods are all ready."""
    deployment_object = api.get("apps/v1", "Deployment", name, namespace)
    return (deployment_object["status"].get("readyReplicas") or 0) == deployment_object["spec"]["replicas"]


def ended(api, namespace, name):
    """The phase in which a pod ended; empty while it runs."""
    phase = api.get("v1", "Pod", name, namespace)["status"].get("phase")
    return phase if phase in ("Succeeded", "Failed") else ""


def run_in(api, namespace, name, script, **more):
    """Run a script in a pod of its own; phase and what it wrote."""
    api.create(pod(namespace, name, script, **more))
    phase = eventually(lambda: ended(api, namespace, name))
    return phase, log_of(api, namespace, name, "c")


def fetch(api, namespace, name, address):
    """A script that asks a web server until it answers."""
    tool = "/bin/busybox"  # its `wget -T` breaks off with a segmentation fault in Debian's static program
    ask = f"exec 2>/dev/null; until {tool} timeout 3 {tool} wget -q -O - {address}; do {tool} sleep 0.2; done"
    return run_in(api, namespace, name, ask)


def core(cluster) -> CoreV1Api:
    """The official client, for what goes through a websocket."""
    made: ApiClient = new_client_from_config_dict(cluster.kubeconfig(), client_configuration=Configuration())
    return CoreV1Api(made)


def execute(cluster, namespace, name, *command):
    """Run a command in a container, through the API server and the kubelet."""
    return stream(
        core(cluster).connect_get_namespaced_pod_exec,
        name,
        namespace,
        command=list(command),
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )


def machine_state():
    """What a node must never change on the machine, also while it runs."""
    return {
        "links": sorted(name for name in os.listdir("/sys/class/net") if not name.startswith("llmserving")),
        "rules": _shown("nft", "list", "tables"),
        "mounts": [
            line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1].startswith(_MOUNTS)
        ],
        "settings": {name: (Path("/proc/sys") / name).read_text().strip() for name in _SETTINGS},
    }


def traces(slot):
    """What is there of the node with an address slot. Other nodes of the machine come and go meanwhile."""
    links = [name for name in os.listdir("/sys/class/net") if name in (slot.link_name, f"{slot.link_name}n")]
    routes = [
        line
        for line in _shown("ip", "-4", "route", "show", "table", "all")
        if any(str(network).split("/")[0].rsplit(".", 1)[0] + "." in line for network in slot.ranges)
    ]
    roots = hierarchies("cgroup", "cgroup2")
    cgroups = [str(root / slot.cgroup) for root in roots if (root / slot.cgroup).exists()]
    alone = not any(name in SLOT_LINKS for name in os.listdir("/sys/class/net"))
    folders = [str(path / MARKER) for path in COVERED if alone and (path / MARKER).exists()]
    return links + routes + cgroups + folders


def _shown(*command):
    done = subprocess.run([requirements.find(command[0]), *command[1:]], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def processes_of(cluster):
    """Number of the namespaces' owner, number of the first process in them, and the name of its pid namespace."""
    run = cluster.directory / "run"
    namespace_owner = json.loads((run / "supervisor.json").read_text())["pid"]
    init = json.loads((run / "init.json").read_text())["pid"]
    return namespace_owner, init, os.readlink(f"/proc/{init}/ns/pid")


def holds(pid_namespace):
    """Some process lives in a pid namespace."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "ns/pid") == pid_namespace:
                return True
        except OSError:
            continue
    return False
