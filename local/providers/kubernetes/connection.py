"""The way to the cluster that a provider's settings name: made when it is first needed, asked for again while it is
not there."""

import threading
import time
from collections.abc import Callable

from local.cluster import rest
from local.cluster.errors import ClusterError
from local.providers.kubernetes import kubeconfig
from local.providers.kubernetes.settings import Settings

_ASK_AGAIN_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


class Connection:
    """One cluster, reachable or not. Usable from several threads.

    Args:
        settings: which cluster.
        on_warning: called with each warning that the API server sends.
    """

    def __init__(self, settings: Settings, on_warning: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_warning = on_warning
        self._lock = threading.Lock()
        self._client: rest.Kubernetes | None = None
        self._reason = ""
        self._asked = float("-inf")

    def client(self) -> rest.Kubernetes | None:
        """The client; ``None`` while the cluster does not answer."""
        with self._lock:
            if self._client is None and time.monotonic() - self._asked > _ASK_AGAIN_SECONDS:
                self._connect()
                self._asked = time.monotonic()
            return self._client

    def why_not(self) -> str:
        """Why the cluster does not answer; empty if it does."""
        return "" if self.client() else f"configured Kubernetes cluster is unreachable: {self._reason}"

    def _connect(self) -> None:
        try:
            client = kubeconfig.connect(self._settings.access(), self._on_warning)
            try:
                client.request("GET", "/version", timeout=_ANSWER_SECONDS)
            except rest.LateError:  # somebody is there, and busy
                client.request("GET", "/version", timeout=_ANSWER_SECONDS)
        except (kubeconfig.KubeconfigError, ClusterError, rest.UnreachableError, rest.ApiError) as error:
            self._reason = str(error)
        else:
            self._client, self._reason = client, ""
