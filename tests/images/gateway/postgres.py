"""A real Postgres with TLS, which can be ended, frozen and started again on its port. It refuses to be root."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # pyright: ignore[reportMissingImports]
import trustme

from tests.images.gateway.pods import GUARD_SECONDS, wait_until
from tests.images.launched import free_port
from tools.bootstrap.system_packages import POSTGRES

ADMINISTRATOR, GATEWAY_USER = "postgres", "gateway"
PASSWORD = "correct horse"
DATABASE = "llm_gateway"
_NOBODY = 65534


def _program(name: str) -> str:
    path = os.pathsep.join([*POSTGRES.folders, os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found is not None, f"{name} is missing: run `make setup-node`, or install Postgres"
    return found


@dataclass
class Postgres:
    """One server, of which everything is in a folder of its own."""

    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="postgres-")))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For who administers it."""
        authority = self.folder / "ca.crt"
        options = f"sslmode=verify-full&sslrootcert={authority}"
        return f"postgresql://{ADMINISTRATOR}@127.0.0.1:{self.port}/{DATABASE}?{options}"

    def endpoint(self) -> dict[str, Any]:
        """Where it is, in ``gateway.json``."""
        return {"host": "127.0.0.1", "port": self.port, "database": DATABASE}

    def files_of_a_pod(self) -> dict[str, str]:
        """What a gateway's pod has for it."""
        authority = (self.folder / "ca.crt").read_text()
        return {"username": GATEWAY_USER, "password": f"{PASSWORD}\n", "ca.crt": authority}

    def make(self) -> None:
        """Make its data and certificate, and start it with an empty database and a user for gateways."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "ca.crt")
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(self.folder / "tls.key")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "tls.crt")
        (self.folder / "tls.key").chmod(0o600)
        (self.folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, _NOBODY, _NOBODY)
        words = [_program("initdb"), "--pgdata", self.folder / "data", "--username", ADMINISTRATOR, "--no-sync"]
        words += [
            "--auth",
            "scram-sha-256",
            "--pwfile",
            self.folder / "password",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        ]
        made = subprocess.run([*self._as_user(), *words], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        self.start()
        self.ask(f"CREATE DATABASE {DATABASE}", database="postgres")
        self.ask(f"CREATE USER {GATEWAY_USER} PASSWORD '{PASSWORD}'")

    def ask(self, statement: str, database: str = DATABASE) -> str:
        """What a statement answers: its first value."""

        async def ask() -> object:
            authority = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=self.port,
                user=ADMINISTRATOR,
                password=PASSWORD,
                database=database,
                ssl=authority,
            )
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return str(asyncio.run(ask()))

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": self.folder / "tls.crt",
            "ssl_key_file": self.folder / "tls.key",
        }
        words = [_program("postgres"), "-D", self.folder / "data", "-p", str(self.port)]
        words += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen([*self._as_user(), *words], stdout=log, stderr=log)
        wait_until(lambda: "ready to accept connections" in (self.folder / "log").read_text(), "Postgres")

    def end(self) -> None:
        """End it at once, with all its processes, without a word to those that are connected."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(GUARD_SECONDS)
            self.process = None

    def remove(self) -> None:
        """End it, and remove its folder."""
        self.end()
        shutil.rmtree(self.folder)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        stopped = self._processes()
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        assert self.process is not None
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return [self.process.pid, *map(int, listed.stdout.split())]

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
