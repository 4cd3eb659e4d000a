"""Only processes that are ours are ever taken for ours."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from local.cluster import ports
from local.cluster.layout import OWNER_VARIABLE
from local.cluster.processes import Owner, Process, dies_with_parent

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_recycled_number_is_a_stranger():
    own = Process.of(os.getpid())
    assert own is not None
    assert own.alive()
    stranger = Process(own.pid, "another boot/1")
    assert not stranger.alive()
    stranger.send(signal.SIGKILL)  # and we live on


def test_a_zombie_is_dead():
    child = subprocess.Popen(SLEEP)
    process = Process.of(child.pid)
    assert process is not None
    child.kill()
    assert process.wait(5)
    assert Process.of(child.pid) is None
    child.wait()


def test_identity_survives_a_file():
    own = Process.of(os.getpid())
    assert own is not None
    assert Process.from_json(own.to_json()) == own
    assert Process.from_json(None) is None
    assert Process.from_json({"pid": "x"}) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_child_dies_with_its_killed_parent():
    program = (
        "import subprocess, sys, time\n"
        "from local.cluster.processes import dies_with_parent\n"
        f"c = subprocess.Popen({SLEEP!r}, preexec_fn=dies_with_parent())\n"
        "print(c.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Process.of(int(parent.stdout.readline()))
        assert child is not None
        parent.kill()
        assert child.wait(10)
    assert dies_with_parent() is not None


def test_an_owner_has_ended_once_it_is_killed_and_before_anybody_has_buried_it():
    with subprocess.Popen(SLEEP) as child:
        owner = Owner(child.pid)
        assert not owner.has_ended()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert owner.has_ended()
    assert owner.has_ended()
    assert Owner(child.pid).has_ended()


def test_a_cluster_has_an_owner_where_the_environment_names_one(monkeypatch):
    monkeypatch.setenv(OWNER_VARIABLE, str(os.getpid()))
    owner = Owner.from_environment()
    assert owner is not None
    assert not owner.has_ended()
    monkeypatch.delenv(OWNER_VARIABLE)
    assert Owner.from_environment() is None


def test_a_taken_port_is_chosen_anew_and_a_free_one_is_kept():
    first = ports.choose(("a", "b"), {})
    assert ports.choose(("a", "b"), first) == first

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["a"]))
        taken.listen()
        again = ports.choose(("a", "b"), first)
    assert again["a"] != first["a"]
    assert again["b"] == first["b"]


def test_ports_are_chosen_by_one_at_a_time():
    entered = threading.Event()

    def choose():
        with ports.choosing():
            entered.set()

    with ports.choosing():
        other = threading.Thread(target=choose)
        other.start()
        assert not entered.wait(0.2)
    assert entered.wait(30)
    other.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_whose_first_thread_has_gone_is_still_there():
    program = (
        "import ctypes, os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.5), print('on', flush=True), time.sleep(60))).start()\n"
        "ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\n"  # exit of this thread alone
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        process = Process.of(child.pid)
        assert process is not None
        child.kill()
        assert process.wait(10)
