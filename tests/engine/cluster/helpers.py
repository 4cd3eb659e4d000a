"""Objects and waiting for these tests."""

import contextlib
import os
import select
import time

from local.cluster.rest import ApiError, UnreachableError

TOLERATES_GPU = [{"key": "nvidia.com/gpu", "operator": "Exists"}]


OWNING = """
import os, signal, sys
from pathlib import Path
from local.cluster import LocalCluster, NodeOptions
from local.cluster.layout import OWNER_VARIABLE
os.environ[OWNER_VARIABLE] = str(os.getpid())
LocalCluster(Path(sys.argv[1])).create(node=NodeOptions() if "node" in sys.argv else None)
print("up", flush=True)
signal.pause()
"""
"""A program that starts a cluster which is not to outlive it, says so, and waits. Arguments: the cluster's folder;
``node`` for one with a node."""


def gpu_pod(namespace, name, pool, gpus=1):
    """A pod that wants GPUs of a pool."""
    limits = {"nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeSelector": {"llm-serving.dev/pool": pool},
            "tolerations": TOLERATES_GPU,
            "containers": [{"name": "c", "image": "x", "resources": {"limits": limits}}],
        },
    }


def deployment(namespace, name="web", replicas=1, pool=None, container=None, **metadata):
    """Inputs of a Deployment as a program gives them."""
    labels = {"app": name}
    pod = {"containers": [{"name": "c", "image": "x", **(container or {})}]}
    if pool:
        pod |= {"nodeSelector": {"llm-serving.dev/pool": pool}, "tolerations": TOLERATES_GPU}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def eventually(what, seconds=60):
    """Ask until the answer is true, and return it. The limit is a guard, not a measurement."""
    end = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < end, f"still not so after {seconds} s: {answer!r}"
        time.sleep(0.1)
    return answer


@contextlib.contextmanager
def wait_for_ends(pids, seconds=120):
    """Wait until processes that live now have ended, after the body. The limit is a guard, not a measurement."""
    ends = select.poll()
    with contextlib.ExitStack() as opened:
        running = set()
        for pid in pids:
            running.add(descriptor := os.pidfd_open(pid))
            opened.callback(os.close, descriptor)
            ends.register(descriptor, select.POLLIN)
        yield
        until = time.monotonic() + seconds
        while running:
            ended = ends.poll(max(0, until - time.monotonic()) * 1000)
            assert ended, f"{len(running)} processes still live after {seconds} s"
            for descriptor, _ in ended:
                ends.unregister(descriptor)
                running.discard(descriptor)


def log_of(api, namespace, pod, container):
    """A container's log. A busy API server or kubelet that is late is asked again."""
    params = {"container": container}

    def read():
        try:
            # In a tuple: an empty log is an answer too.
            return (api.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", params=params),)
        except UnreachableError:
            return None
        except ApiError as error:
            if error.status < 500:
                raise
            return None

    return eventually(read)[0]


def nodes_of(api, pool):
    """The nodes of a pool."""
    return api.list("v1", "Node", labels={"llm-serving.dev/pool": pool})
