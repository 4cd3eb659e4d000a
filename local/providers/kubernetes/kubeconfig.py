"""Kubeconfigs: which cluster they mean, and a connection to it."""

import base64
import binascii
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from local.cluster import rest
from local.cluster.control_plane import LocalCluster
from local.cluster.errors import ClusterError
from local.providers import host_names

_EXEC_SECONDS = 60
_RETRY_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message says which part of it."""


@dataclass(frozen=True)
class Access:
    """What the active context of a kubeconfig says.

    Attributes:
        server: address of the API server.
        namespace: the context's namespace, or an empty string.
        cluster: the cluster's entry.
        user: the user's entry.
    """

    server: str
    namespace: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @property
    def host(self) -> str:
        """The API server's host name."""
        return urlsplit(self.server).hostname or ""


def read(text: str | None, context: str = "", cluster: str = "") -> Access:
    """The access that a kubeconfig gives.

    Args:
        text: its content, or the path of the file; where empty, what ``kubectl`` would use.
        context: name of the context; where empty, the current one.
        cluster: name of the cluster, in the place of the context's own.

    Raises:
        KubeconfigError: unreadable, or it names something that it does not hold.
    """
    config = _parse(text)
    contexts = _by_name(config.get("contexts"), "context")
    chosen = context or config.get("current-context") or ""
    if not contexts:
        raise KubeconfigError("the kubeconfig has no context")
    if chosen not in contexts:
        raise KubeconfigError(f"the kubeconfig has no context {chosen!r}; it has {', '.join(sorted(contexts))}")
    entry = contexts[chosen]
    clusters = _by_name(config.get("clusters"), "cluster")
    wanted = cluster or entry.get("cluster") or ""
    if wanted not in clusters:
        raise KubeconfigError(f"the kubeconfig has no cluster {wanted!r}; it has {', '.join(sorted(clusters))}")
    server = clusters[wanted].get("server")
    if not server:
        raise KubeconfigError(f"cluster {wanted!r} of the kubeconfig has no server")
    users = _by_name(config.get("users"), "user")
    return Access(server, entry.get("namespace") or "", clusters[wanted], users.get(entry.get("user") or "", {}))


def _parse(text: str | None) -> Mapping[str, Any]:
    source = text.strip() if text else ""
    if "\n" not in source and not source.startswith("{"):
        path = Path(source or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config").expanduser()
        try:
            source = path.read_text()
        except OSError as error:
            raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from None
    try:
        config = yaml.safe_load(source)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"the kubeconfig is no YAML: {error}") from None
    if not isinstance(config, Mapping):
        raise KubeconfigError("the kubeconfig is no object")
    return config


def _by_name(entries: Any, key: str) -> dict[str, Mapping[str, Any]]:
    return {str(item.get("name")): item.get(key) or {} for item in entries or [] if isinstance(item, Mapping)}


def connect(access: Access, on_warning: Callable[[str], None] | None = None) -> rest.Kubernetes:
    """A connection. A host of the local clouds leads to its control plane, which is started if it sleeps.

    Raises:
        KubeconfigError: the credentials cannot be read or had.
        ClusterError: the local control plane does not come up.
    """
    directory = host_names.resolve(access.host)
    if directory is not None:
        cluster = LocalCluster(directory)
        if not cluster.running():
            cluster.start()
        return cluster.client(on_warning=on_warning)
    user = {**access.user, **_run(access.user["exec"], access)} if "exec" in access.user else access.user
    try:
        context = rest.tls(
            ca_pem=_pem(access.cluster, "certificate-authority"),
            cert_pem=_pem(user, "client-certificate"),
            key_pem=_pem(user, "client-key"),
            verify=not access.cluster.get("insecure-skip-tls-verify"),
        )
    except OSError as error:  # also what ssl says of a bad certificate
        raise KubeconfigError(f"the kubeconfig's certificates cannot be used: {error}") from None
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = Path(user["tokenFile"]).read_text().strip()
    return rest.Kubernetes(
        access.server,
        context=context,
        token=token,
        basic=(user["username"], user.get("password", "")) if user.get("username") else None,
        headers=_impersonation(user),
        on_warning=on_warning,
        proxy=access.cluster.get("proxy-url"),
    )


def _pem(entry: Mapping[str, Any], key: str) -> str | None:
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=False).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise KubeconfigError(f"{key}-data of the kubeconfig is no base64 of a PEM") from None
    if path := entry.get(key):
        return Path(path).expanduser().read_text()
    return None


def _impersonation(user: Mapping[str, Any]) -> dict[str, str]:
    headers = {"Impersonate-User": user.get("as"), "Impersonate-Group": ",".join(user.get("as-groups") or [])}
    return {name: value for name, value in headers.items() if value}


def _run(plugin: Mapping[str, Any], access: Access) -> dict[str, Any]:
    """Ask a credential plugin, as client-go does:
    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins.
    """
    version = plugin.get("apiVersion") or "client.authentication.k8s.io/v1"
    info: dict[str, Any] = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if plugin.get("provideClusterInfo"):
        info["spec"]["cluster"] = {
            "server": access.server,
            "certificate-authority-data": access.cluster.get("certificate-authority-data", ""),
        }
    environment = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or []}
    command = [plugin["command"], *(str(argument) for argument in plugin.get("args") or [])]
    try:
        finished = subprocess.run(
            command,
            env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXEC_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        hint = plugin.get("installHint") or "install it, or take a kubeconfig with other credentials"
        raise KubeconfigError(f"the kubeconfig's command {command[0]!r} is not installed: {hint.strip()}") from None
    except subprocess.TimeoutExpired:
        raise KubeconfigError(f"the kubeconfig's command {command[0]!r} took longer than {_EXEC_SECONDS} s") from None
    if finished.returncode != 0:
        raise KubeconfigError(f"the kubeconfig's command {command[0]!r} failed: {finished.stderr.strip()}")
    try:
        status = json.loads(finished.stdout)["status"]
    except (ValueError, KeyError, TypeError):
        raise KubeconfigError(f"the kubeconfig's command {command[0]!r} printed no ExecCredential") from None
    credentials: dict[str, Any] = {}
    if status.get("token"):
        credentials["token"] = status["token"]
    for theirs, ours in (("clientCertificateData", "client-certificate-data"), ("clientKeyData", "client-key-data")):
        if status.get(theirs):
            credentials[ours] = base64.b64encode(status[theirs].encode()).decode()
    return credentials


class Connection:
    """One cluster, reachable or not: connected when it is first needed, and tried again while it does not answer.
    Usable from several threads.

    Args:
        access: gives access to the cluster; raises :class:`KubeconfigError` where it cannot.
        on_warning: called with each warning that the API server sends.
    """

    def __init__(self, access: Callable[[], Access], on_warning: Callable[[str], None]) -> None:
        self._access = access
        self._on_warning = on_warning
        self._lock = threading.Lock()
        self._client: rest.Kubernetes | None = None
        self._reason = ""
        self._tried = float("-inf")

    def client(self) -> rest.Kubernetes | None:
        """The client; ``None`` while the cluster does not answer."""
        with self._lock:
            if self._client is None and time.monotonic() - self._tried > _RETRY_SECONDS:
                self._connect()
                self._tried = time.monotonic()
            return self._client

    def why_not(self) -> str:
        """Why the cluster does not answer; empty if it does."""
        return "" if self.client() else f"configured Kubernetes cluster is unreachable: {self._reason}"

    def _connect(self) -> None:
        try:
            client = connect(self._access(), self._on_warning)
            try:
                client.request("GET", "/version", timeout=_ANSWER_SECONDS)
            except rest.LateError:  # somebody is there, and busy
                client.request("GET", "/version", timeout=_ANSWER_SECONDS)
        except (KubeconfigError, ClusterError, rest.UnreachableError, rest.ApiError) as error:
            self._reason = str(error)
        else:
            self._client, self._reason = client, ""
