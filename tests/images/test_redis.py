"""The real Redis under the configuration that the component renders: what it keeps, what it forgets, whom it obeys."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trustme import CA

from llm_serving.gateway import redis_pod
from llm_serving.gateway.names import REDIS_PORT
from tests.images.gateway.environment import GATEWAY, SOURCES
from tests.images.launched import PATIENCE, free_port, until

PASSWORD = "a-password-of-clients"
MEMORY_MIB = 8
FILL = "for i = 1, ARGV[1] * 16 do redis.call('set', 'filler:' .. i, string.rep('x', 65536)) end"
"""Writes as many mebibytes as its argument says."""


class Server:
    """A Redis in a folder that has what its pod mounts."""

    def __init__(self, folder: Path, *, persistent: bool, tls: bool) -> None:
        self._folder, self._tls = folder, tls
        self.port = free_port()
        mounts = [redis_pod.CONFIGURATION, redis_pod.USERS, redis_pod.CERTIFICATE, redis_pod.DATA]
        for mount in mounts:
            self._place(mount).mkdir(parents=True)
        text = redis_pod.configuration(MEMORY_MIB, persistent=persistent, tls=tls)
        for mount in mounts:
            text = text.replace(f" {mount}", f" {self._place(mount)}")
        text = text.replace(f"port {REDIS_PORT}", f"port {self.port}")
        (self._place(redis_pod.CONFIGURATION) / redis_pod.CONFIGURATION_FILE).write_text(text)
        (self._place(redis_pod.USERS) / redis_pod.USERS_FILE).write_text(redis_pod.users(PASSWORD))
        if tls:
            authority = CA()
            leaf = authority.issue_cert("localhost", "127.0.0.1")
            authority.cert_pem.write_to_path(self._place(redis_pod.CERTIFICATE) / "ca.crt")
            leaf.cert_chain_pems[0].write_to_path(self._place(redis_pod.CERTIFICATE) / "tls.crt")
            leaf.private_key_pem.write_to_path(self._place(redis_pod.CERTIFICATE) / "tls.key")
        self.start()

    def _place(self, mount: str) -> Path:
        return self._folder / mount.removeprefix("/")

    def start(self) -> None:
        """Start it and wait until its probe is content."""
        configuration = self._place(redis_pod.CONFIGURATION) / redis_pod.CONFIGURATION_FILE
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", configuration], stdout=log, stderr=log)
        until(lambda: self.probe().returncode == 0, f"its probe is content; see {self._folder / 'log'}")

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def probe(self) -> subprocess.CompletedProcess[str]:
        """The probe of its container."""
        words = redis_pod.probe_command(tls=self._tls)
        own = {redis_pod.CERTIFICATE: str(self._place(redis_pod.CERTIFICATE)), str(REDIS_PORT): str(self.port)}
        for there, here in own.items():
            words = [word.replace(there, here) for word in words]
        return subprocess.run(words, capture_output=True, text=True)

    def ask(self, *words: str, password: str | None = PASSWORD) -> str:
        """What a client is answered."""
        secured = ["--tls", "--cacert", str(self.authority())] if self._tls else []
        environment = dict(os.environ) if password is None else {**os.environ, "REDISCLI_AUTH": password}
        command = ["redis-cli", "-p", str(self.port), *secured, *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout.strip()

    def authority(self) -> Path:
        """The certificate of its authority."""
        return self._place(redis_pod.CERTIFICATE) / "ca.crt"

    def figure(self, name: str) -> int:
        """One of its own figures."""
        lines = self.ask("info", "everything").splitlines()
        return next(int(line.partition(":")[2]) for line in lines if line.startswith(f"{name}:"))


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED: Redis (package redis-server) is missing: run `make setup-node`")
    servers: list[Server] = []

    def started(*, persistent: bool = True, tls: bool = False) -> Server:
        server = Server(tmp_path, persistent=persistent, tls=tls)
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.kill()


def test_who_has_not_the_password_is_told_nothing(start: Start) -> None:
    server = start()
    assert server.ask("set", "spend:key", "3") == "OK"
    for password in (None, "another"):
        assert server.ask("get", "spend:key", password=password).startswith("NOAUTH")


@pytest.mark.parametrize(
    "command", ["flushall", "flushdb", "config get *", "shutdown nosave", "acl list", "keys *", "replicaof no one"]
)
def test_a_client_with_the_password_cannot_empty_or_change_the_server(start: Start, command: str) -> None:
    server = start(persistent=False)
    server.ask("set", "answer", "x")
    assert server.ask(*command.split()).startswith("NOPERM")
    assert server.ask("get", "answer") == "x"


def test_a_client_may_do_what_counters_and_scripts_need(start: Start) -> None:
    server = start(persistent=False)
    script = "local n = redis.call('incrby', KEYS[1], 2) redis.call('expire', KEYS[1], 60) return n"
    assert server.ask("eval", script, "1", "rpm:key") == "2"
    assert len(server.ask("script", "load", script)) == 40
    assert server.ask("scan", "0").splitlines()[-1] == "rpm:key"
    assert server.ask("client", "setname", "litellm") == "OK"


def test_the_probe_needs_no_password_and_may_do_nothing_else(start: Start) -> None:
    server = start()
    probed = server.probe()
    assert (probed.returncode, probed.stdout.strip(), probed.stderr) == (0, "PONG", "")
    asked = ["redis-cli", "-p", str(server.port), "--user", redis_pod.PROBE_USER, "--pass", "none", "get", "x"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.startswith("NOPERM")
    server.kill()
    assert server.probe().returncode != 0
    server.start()


def test_limits_outlive_a_kill(start: Start) -> None:
    server = start()
    server.ask("incrby", "spend:key", "42")
    # What the log holds was written to the file; to the disk it comes each second.
    until(lambda: server.figure("aof_buffer_length") == 0, "the log is written")
    server.kill()
    server.start()
    assert server.ask("get", "spend:key") == "42"


def test_limits_that_are_full_refuse_and_forget_nothing(start: Start) -> None:
    server = start()
    server.ask("set", "spend:key", "42")
    assert "OOM" in server.ask("eval", FILL, "0", str(2 * MEMORY_MIB)) + server.ask("set", "another", "x")
    assert server.ask("get", "spend:key") == "42"
    assert server.figure("evicted_keys") == 0


def test_answers_give_way_to_newer_ones_and_are_on_no_disk(start: Start) -> None:
    server = start(persistent=False)
    for _ in range(2):
        assert server.ask("eval", FILL, "0", str(MEMORY_MIB * 3 // 4)) == ""
        assert server.ask("set", "newest", "x") == "OK"
        server.ask("eval", FILL.replace("filler:", "more:"), "0", str(MEMORY_MIB * 3 // 4))
    assert server.figure("evicted_keys") > 0
    assert server.figure("used_memory") <= MEMORY_MIB << 20
    server.kill()
    server.start()
    assert server.ask("dbsize") == "0"


def test_with_a_certificate_it_speaks_tls_alone(start: Start) -> None:
    server = start(tls=True)
    assert server.ask("set", "spend:key", "3") == "OK"
    plain = subprocess.run(["redis-cli", "-p", str(server.port), "ping"], capture_output=True, text=True)
    assert "PONG" not in plain.stdout


ASKS = """
import asyncio, json, sys
from llm_serving_gateway.bounded_redis import connect
from llm_serving_gateway.configuration import RedisEndpoint

async def ask(endpoint, password):
    client = connect(RedisEndpoint.model_validate(endpoint), password, 30)
    try:
        return await client.get("spend:key")
    except Exception as error:
        return "".join(f"{type(each).__name__}: {each}" for each in (error, error.__cause__))

given = json.load(sys.stdin)
print(json.dumps([str(asyncio.run(ask(endpoint, given["password"]))) for endpoint in given["endpoints"]]))
"""
"""The client of the gateway's image, asked for the same by several ways to one Redis."""


def test_the_gateway_trusts_the_authority_that_it_is_told_and_no_other(start: Start) -> None:
    server = start(tls=True)
    server.ask("set", "spend:key", "3")
    file, stranger = server.authority(), CA()
    there = {"host": "localhost", "port": server.port, "tls": True}
    ways = [{"authorityFile": str(file)}, {"authority": file.read_text()}, {}]
    ways.append({"authority": stranger.cert_pem.bytes().decode()})
    asked = {"password": PASSWORD, "endpoints": [{**there, **way} for way in ways]}
    done = subprocess.run(
        [GATEWAY.interpreter(), "-c", ASKS],
        input=json.dumps(asked),
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout)
    assert answers[:2] == ["b'3'"] * 2
    assert all("CERTIFICATE_VERIFY_FAILED" in answer for answer in answers[2:])
