"""A cluster survives what happens to processes, and leaves none behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.cluster import ClusterError, LocalCluster
from local.cluster.config import ClusterConfig
from local.cluster.layout import REPOSITORY, Layout, tools
from local.cluster.processes import Process
from tests.engine.cluster.helpers import OWNING, eventually, wait_for_ends


@pytest.fixture
def own(tmp_path):
    """A cluster that a test may harm."""
    made = LocalCluster(tmp_path / "c")
    yield made
    made.delete()


def processes(cluster):
    layout = Layout(cluster.directory)
    states = json.loads(layout.programs.read_text())
    by_name = {name: Process.from_json(state["process"]) for name, state in states.items()}
    by_name["supervisor"] = Process.from_json(json.loads(layout.supervisor.read_text()))
    return by_name


def note(api, name):
    api.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"a": "b"},
        }
    )


def test_a_cluster_lives_through_kills_restarts_and_taken_ports(own):
    own.create(kubernetes_version="1.33.2-gke.1")
    api = own.client()
    note(api, "before")
    assert "1.33.2-gke.1" in own.version_note()

    # Killed as hard as possible: nothing of it stays, and nothing of it hinders the next start.
    all_of_it = processes(own)
    os.kill(all_of_it["supervisor"].pid, signal.SIGKILL)
    eventually(lambda: not any(process.alive() for process in all_of_it.values()))
    assert not own.running()
    own.start()
    assert own.client().find("v1", "ConfigMap", "before")

    # One program dies: it comes back by itself.
    old = processes(own)["kube-scheduler"]
    old.send(signal.SIGKILL)
    eventually(lambda: (now := processes(own)["kube-scheduler"]) not in (None, old) and now.alive())

    # Starting what runs changes nothing; several may do it.
    before = processes(own)
    own.start()
    LocalCluster(own.directory).start()
    assert processes(own) == before

    # Stopped in good order, its port taken by somebody else: it goes elsewhere, with its state.
    note(own.client(), "later")
    own.stop()
    assert not any(process.alive() for process in before.values())
    assert not own.running()
    own.stop()
    port = ClusterConfig.read(Layout(own.directory)).ports["apiserver"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        own.start()
        assert ClusterConfig.read(Layout(own.directory)).ports["apiserver"] != port
        assert own.client().find("v1", "ConfigMap", "later")

    last = processes(own)
    own.delete()
    assert not own.directory.exists()
    assert not any(process.alive() for process in last.values())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches processes by pidfd")
def test_a_killed_run_leaves_no_cluster_behind(own):
    with subprocess.Popen(
        [sys.executable, "-c", OWNING, str(own.directory)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        with wait_for_ends(process.pid for process in processes(own).values()):
            run.kill()
    assert not own.running()


def test_a_missing_program_is_named_before_anything_starts(own, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(tmp_path / "nothing"))
    with pytest.raises(ClusterError, match="make setup"):
        own.create()
    assert not own.running()


def test_a_program_that_does_not_come_up_is_named_with_its_log(own, monkeypatch, tmp_path):
    real = tools()
    broken = tmp_path / "tools"
    (broken / "bin").mkdir(parents=True)
    for program in (real / "bin").iterdir():
        (broken / "bin" / program.name).symlink_to(program.resolve())
    (broken / "kwok").symlink_to(real / "kwok")
    scheduler = broken / "bin" / "kube-scheduler"
    scheduler.unlink()
    scheduler.write_text("#!/bin/sh\necho no licence for this scheduler\nexit 3\n")
    scheduler.chmod(0o755)
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(broken))
    with pytest.raises(ClusterError) as raised:
        own.create()
    assert "kube-scheduler" in str(raised.value)
    assert "no licence for this scheduler" in str(raised.value)
    assert "kube-scheduler.log" in str(raised.value)


def test_a_folder_that_is_no_cluster_is_left_alone(tmp_path):
    (tmp_path / "work").write_text("mine")
    with pytest.raises(ClusterError, match="left alone"):
        LocalCluster(tmp_path).delete()
    assert (tmp_path / "work").exists()


def test_a_detached_cluster_keeps_no_secret_of_its_starter(own, monkeypatch):
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "do-not-keep-me")
    own.create()
    for process in processes(own).values():
        assert b"do-not-keep-me" not in Path(f"/proc/{process.pid}/environ").read_bytes()
