"""The handle of the API's process: start, stop, where to reach it."""

import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster.errors import ClusterError, with_log
from local.cluster.layout import REPOSITORY
from local.cluster.processes import Process, environment, wait_until
from stacks.files import file_locked, read_json

ENDPOINT, JOURNAL, LOCK = "endpoint.json", "journal.jsonl", "server.lock"
DEFAULT_ACCOUNT = "123456789012"
"""The account where nobody names one: moto's."""
_START_SECONDS = 60.0


def client(address: str, service: str, region: str) -> Any:
    """A client of one service at an address. moto checks no credentials, but clients sign with some."""
    import boto3

    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, region_name=region, endpoint_url=address, **keys)  # pyright: ignore


@dataclass(frozen=True)
class AwsApi:
    """The API of one local AWS. Making the handle touches nothing.

    Attributes:
        folder: what it keeps.
        capacity: the file of :mod:`local.aws.capacity`; it need not be there.
        account: number of the account; fixed once the folder holds records.
    """

    folder: Path
    capacity: Path
    account: str = DEFAULT_ACCOUNT

    def start(self) -> str:
        """Start it unless it runs; its address, ``http://127.0.0.1:PORT``.

        Raises:
            ClusterError: moto is not installed, or the process does not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file_locked(self.folder / "start.lock"):
            if not self._answers():
                self._launch()
        return self.address()

    def _launch(self) -> None:
        log = self.folder / "server.log"
        settings = {"MOTO_ACCOUNT_ID": self.account, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        with log.open("ab") as file:
            command = [sys.executable, "-m", "local.aws.server", str(self.folder), str(self.capacity)]
            started = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=REPOSITORY,
                env={**environment(), **settings}, check=False,
            )  # fmt: skip
        if started.returncode:
            raise ClusterError(with_log("the local AWS does not start", log))
        wait_until(self._answers, _START_SECONDS, lambda: with_log("the local AWS does not answer", log))

    def address(self) -> str:
        """Where it answers.

        Raises:
            ClusterError: it was never started.
        """
        data = read_json(self.folder / ENDPOINT)
        if data is None:
            raise ClusterError(f"the local AWS in {self.folder} was never started")
        return f"http://127.0.0.1:{data['port']}"

    def client(self, service: str, region: str) -> Any:
        """A client of one service, of a process that was started."""
        return client(self.address(), service, region)

    def stop(self) -> None:
        """End the process; what it keeps stays."""
        process = self._process()
        if process is not None:
            process.send(signal.SIGTERM)
            if not process.wait(5.0):
                process.send(signal.SIGKILL)
                process.wait(5.0)

    def delete(self) -> None:
        """End the process, and remove what it keeps."""
        self.stop()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _process(self) -> Process | None:
        return Process.from_json((read_json(self.folder / ENDPOINT) or {}).get("process"))

    def _answers(self) -> bool:
        process = self._process()
        if process is None or not process.alive():
            return False
        port = read_json(self.folder / ENDPOINT)["port"]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            return False
        return True
