"""A node survives what happens to processes, and leaves nothing of it on the machine."""

import os
import signal
import subprocess
import sys

import pytest

from local.cluster import ClusterError, LocalCluster, NodeOptions
from local.cluster.config import ClusterConfig, NodeConfig
from local.cluster.layout import REPOSITORY, Layout
from tests.engine.cluster.helpers import OWNING, eventually, wait_for_ends
from tests.node.helpers import claim, deployment, fetch, holds, machine_state, processes_of, ready, service, traces

NODE = NodeOptions(labels={"llm-serving.dev/pool": "cpu"})
# Whoever starts first writes what the next one must find.
SERVE = "[ -f /data/index.html ] || echo first > /data/index.html; exec /bin/busybox httpd -f -p 8000 -h /data"


def answer(cluster, name):
    """What a client pod gets of the web server; pods of earlier clients stay."""
    phase, page = fetch(cluster.client(), "default", name, "http://web:8000/")
    return phase, page.strip()


def test_a_node_comes_back_with_the_same_state_and_goes_without_a_trace(own, busybox):
    before = machine_state()
    own.create(node=NODE)
    own.load_image(busybox)
    api = own.client()
    web = deployment("default", "web", SERVE, claim_name="cache")
    api.apply_all([claim("default", "cache"), web, service("default", "web")])
    eventually(lambda: ready(api, "default", "web"))
    assert answer(own, "a") == ("Succeeded", "first")
    images, slot = own.images(), own.addresses()
    (pod,) = api.list("v1", "Pod", "default", labels={"app": "web"})
    assert machine_state() == before  # also while it runs
    assert traces(slot)

    # Stopped and started.
    _, _, pid_namespace = processes_of(own)
    own.stop()
    assert not holds(pid_namespace)
    assert traces(slot) == []
    assert machine_state() == before
    own.start()
    assert (own.images(), own.addresses()) == (images, slot)
    assert answer(own, "b") == ("Succeeded", "first")
    (again,) = own.client().list("v1", "Pod", "default", labels={"app": "web"})
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]

    # Each of its two outer processes killed as hard as possible.
    for number in (0, 1):
        numbers = processes_of(own)
        os.kill(numbers[number], signal.SIGKILL)
        pid_namespace = numbers[2]
        eventually(lambda pid_namespace=pid_namespace: not holds(pid_namespace))
        eventually(lambda: not own.running())
        own.start()
        assert answer(own, f"killed-{number}") == ("Succeeded", "first")

    # Killed, and then removed.
    namespace_owner, _, pid_namespace = processes_of(own)
    os.kill(namespace_owner, signal.SIGKILL)
    own.delete()
    eventually(lambda: not holds(pid_namespace))  # the last zombie is the machine's to bury
    assert not own.directory.exists()
    assert traces(slot) == []
    assert machine_state() == before


def test_a_start_that_was_killed_half_way_hinders_nothing(own):
    layout = Layout(own.directory)
    own.directory.mkdir()
    ClusterConfig(node=NodeConfig.of(NODE)).write(layout)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from local.cluster.config import ClusterConfig\n"
        "from local.cluster.layout import Layout\n"
        "from local.cluster.node.local_node import LocalNode\n"
        "layout = Layout(Path(sys.argv[1]))\n"
        "LocalNode(layout).prepare(ClusterConfig.read(layout))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(own.directory)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    slot = own.addresses()
    assert traces(slot)
    own.stop()
    assert traces(slot) == []

    # The same, and nobody stops it: the next start does.
    subprocess.run(command, cwd=REPOSITORY, check=False)
    own.start()
    assert own.node_health().problem is None


def test_a_killed_run_leaves_no_node_behind(own):
    before = machine_state()
    with subprocess.Popen(
        [sys.executable, "-c", OWNING, str(own.directory), "node"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        slot = own.addresses()
        owner_of_namespaces, _, pid_namespace = processes_of(own)
        assert traces(slot)
        # The process outside takes the node's link, routes, cgroups and mount points away before it ends.
        with wait_for_ends([owner_of_namespaces]):
            run.kill()
    assert not holds(pid_namespace)
    assert traces(slot) == []
    assert machine_state() == before


def test_ranges_in_use_are_named_with_what_uses_them(own):
    slot = 9
    own.directory.mkdir()
    ClusterConfig(node=NodeConfig(name="local-node", slot=slot)).write(Layout(own.directory))
    program = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from local.cluster import ClusterError, LocalCluster\n"
        "subprocess.run(['ip', 'address', 'add', '198.18.1.7/28', 'dev', 'lo'], check=True)\n"
        "try:\n"
        "    LocalCluster(Path(sys.argv[1])).start()\n"
        "except ClusterError as error:\n"
        "    print(error)\n"
    )
    command = ["unshare", "--net", sys.executable, "-c", program, str(own.directory)]
    refusal = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert "address slot 9 is in use" in refusal
    assert "198.18.1.0/24 overlaps address 198.18.1.7/28 of lo" in refusal


def test_a_program_that_does_not_come_up_is_named_with_its_log(own, monkeypatch):
    from local.cluster.node import configuration

    real = configuration.kubelet
    monkeypatch.setattr(configuration, "kubelet", lambda *arguments: real(*arguments) | {"cgroupRoot": "/none-such"})
    with pytest.raises(ClusterError) as raised:
        own.create(node=NODE)
    assert "kubelet" in str(raised.value)
    assert "none-such" in str(raised.value)


def test_two_clusters_have_nodes_at_the_same_time(cluster, own):
    own.create(node=NODE)
    assert not any(a.overlaps(b) for a in own.addresses().ranges for b in cluster.addresses().ranges)
    assert own.node_health().problem is None
    own.stop()
    assert cluster.node_health().problem is None


def test_a_cluster_without_a_node_says_so(own):
    own.directory.mkdir()
    ClusterConfig().write(Layout(own.directory))
    with pytest.raises(ClusterError, match="has no node"):
        LocalCluster(own.directory).images()
