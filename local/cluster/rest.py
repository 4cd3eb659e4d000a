"""A small client of the Kubernetes API: discovery, server-side apply, reading, deleting, watching.

Objects are plain dictionaries, as they stand in a manifest. The generated client is not used: it knows no
custom resources by type, and reading its models back costs more than the request.
"""

import contextlib
import itertools
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

Object = dict[str, Any]

_TIMEOUT = 30.0
_CONNECT_TIMEOUT = 10.0
"""At most."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """An answer of the API server that is no success.

    Attributes:
        status: the HTTP status.
        reason: the machine-readable reason (``AlreadyExists``, ``Conflict``, ``Invalid``), or an empty
            string.
        causes: what is wrong, field by field: dictionaries with ``field``, ``reason`` and ``message``.
        body: the ``Status`` object.
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = dict(body)
        self.reason = str(body.get("reason") or "")
        self.causes: list[dict[str, str]] = list((body.get("details") or {}).get("causes") or [])
        super().__init__(str(body.get("message") or f"HTTP status {status}"))


class UnreachableError(Exception):
    """No answer: wrong address, refused connection, wrong certificate, or too slow."""


class LateError(UnreachableError):
    """No answer began in time, and the server took the connection: it may be busy."""


class UnknownKindError(Exception):
    """The API server serves no such kind (its CustomResourceDefinition is missing or not yet established)."""

    def __init__(self, api_version: str, kind: str) -> None:
        self.api_version = api_version
        self.kind = kind
        super().__init__(f"no matches for kind {kind!r} in version {api_version!r}")


@dataclass(frozen=True)
class ApiResource:
    """How a kind is addressed."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The path of the collection, or of one object in it."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        one = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{one}" + (f"/{subresource}" if subresource else "")


class _PinnedAuthority(HTTPAdapter):
    """Transport that trusts exactly the authority that it was given."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=4, pool_maxsize=32)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        return super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave verification to the context."""


def tls(
    *, ca_pem: str | None = None, cert_pem: str | None = None, key_pem: str | None = None, verify: bool = True
) -> ssl.SSLContext:
    """What to trust and what to show: an authority (the system's where none is given), a client
    certificate.
    """
    context = ssl.create_default_context(cadata=ca_pem or None)
    # Certificates of clusters that were made long ago lack the key identifiers which Python asks for from
    # 3.13 on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", ssl.VerifyFlags(0))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_pem and key_pem:
        with tempfile.TemporaryDirectory() as folder:  # load_cert_chain reads files only
            chain, key = Path(folder, "cert"), Path(folder, "key")
            for path, text in ((chain, cert_pem), (key, key_pem)):
                path.touch(mode=0o600)
                path.write_text(text)
            context.load_cert_chain(chain, key)
    return context


class Kubernetes:
    """A connection to one API server. Usable from several threads.

    Args:
        server: address, for example ``https://127.0.0.1:6443``.
        context: what to trust, see :func:`tls`.
        token: bearer token.
        basic: user and password, for the rare server that wants them.
        headers: more headers (impersonation).
        on_warning: called with each warning that the API server sends (deprecated versions, Pod Security).
        field_manager: who owns what is applied.
        timeout: seconds that an answer may take. A read that is late is sent once more, and so may take twice as long.
        proxy: proxy for the connection; the environment's proxies are never used.
    """

    def __init__(
        self,
        server: str,
        *,
        context: ssl.SSLContext | None = None,
        token: str | None = None,
        basic: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        on_warning: Callable[[str], None] | None = None,
        field_manager: str = "llm-serving-local",
        timeout: float = _TIMEOUT,
        proxy: str | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.field_manager = field_manager
        self._timeout = timeout
        self._on_warning = on_warning
        self._known: dict[tuple[str, str], ApiResource] = {}
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.trust_env = False
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}
        self._session.mount("https://", _PinnedAuthority(context or tls()))
        self._session.mount("http://", HTTPAdapter(pool_connections=4, pool_maxsize=32))
        self._session.headers.update(
            {"Accept": "application/json", "User-Agent": "llm-serving-local", **(headers or {})}
        )
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        if basic:
            self._session.auth = basic

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def __enter__(self) -> "Kubernetes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Requests

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> Any:
        """Send a request; the answer as JSON, or as text where it is none.

        Raises:
            ApiError: the API server refuses.
            UnreachableError: there is no answer.
        """
        answer = self._send(method, path, params, body, content_type, timeout)
        with answer:
            self._report_warnings(answer)
            kind = answer.headers.get("Content-Type", "")
            value = answer.json() if "json" in kind and answer.content else answer.text
            if not answer.ok:
                raise ApiError(answer.status_code, value if isinstance(value, dict) else {"message": value.strip()})
            return value

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: Any,
        content_type: str,
        timeout: float | None,
        stream: bool = False,
    ) -> requests.Response:
        # On a machine whose engines take every core the API server may be late, to shake hands more than anything:
        # what only reads is asked for again while there is time, and once in any case, as it may have been this machine
        # that stood still. So is a server-side apply, which has the same result twice (Kubernetes documentation,
        # "Server-Side Apply"). What else writes may have been carried out, and who says how long a request may take has
        # no time for another one.
        may_retry = timeout is None and (method == "GET" or content_type == _APPLY)
        end = time.monotonic() + self._timeout
        for attempt in itertools.count():
            try:
                return self._session.request(
                    method,
                    self.server + path,
                    params=params,
                    data=None if body is None else json.dumps(body),
                    headers=None if body is None else {"Content-Type": content_type},
                    timeout=(min(timeout or self._timeout / 3, _CONNECT_TIMEOUT), timeout or self._timeout),
                    stream=stream,
                )
            except requests.RequestException as error:
                late = isinstance(error, requests.ReadTimeout)
                if late and may_retry and (attempt == 0 or time.monotonic() < end):
                    continue
                kind = LateError if late else UnreachableError
                raise kind(f"{self.server} does not answer: {_innermost(error)}") from error
        raise AssertionError("unreachable")

    def _report_warnings(self, answer: requests.Response) -> None:
        if self._on_warning is None:
            return
        # RFC 7234: 299 - "text", "text" quoted with backslashes; several are joined by commas.
        for part in answer.headers.get("Warning", "").split("299 - ")[1:]:
            self._on_warning(part.strip().rstrip(",").strip().strip('"').replace('\\"', '"'))

    def ready(self, timeout: float = 2.0) -> bool:
        """The API server says that it is ready."""
        try:
            self.request("GET", "/readyz", timeout=timeout)
        except (ApiError, UnreachableError):
            return False
        return True

    # Discovery

    def resource(self, api_version: str, kind: str) -> ApiResource:
        """How a kind is addressed.

        Raises:
            UnknownKindError: the API server does not serve it.
        """
        with self._lock:
            known = self._known.get((api_version, kind))
        if known is not None:
            return known
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        try:
            listed = self.request("GET", root).get("resources", [])
        except ApiError as error:
            if error.status == 404:
                raise UnknownKindError(api_version, kind) from None
            raise
        served = {
            (api_version, item["kind"]): ApiResource(api_version, item["kind"], item["name"], item["namespaced"])
            for item in listed
            if "/" not in item["name"]  # not subresources
        }
        with self._lock:
            self._known.update(served)
        if (api_version, kind) not in served:
            raise UnknownKindError(api_version, kind)
        return served[api_version, kind]

    def forget(self) -> None:
        """Ask anew for every kind: definitions have changed."""
        with self._lock:
            self._known.clear()

    def path_of(self, thing: Mapping[str, Any], subresource: str = "") -> str:
        """The path of the object that this dictionary describes."""
        meta = thing["metadata"]
        kind = self.resource(thing["apiVersion"], thing["kind"])
        namespace = meta.get("namespace") or ("default" if kind.namespaced else None)
        return kind.path(namespace, meta["name"], subresource)

    # Objects

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object.

        Raises:
            ApiError: with status 404, among others.
        """
        resource = self.resource(api_version, kind)
        return self.request("GET", resource.path(namespace or ("default" if resource.namespaced else None), name))

    def find(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or ``None`` where there is none (or no such kind)."""
        try:
            return self.get(api_version, kind, name, namespace)
        except UnknownKindError:
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: str | None = None,
    ) -> list[Object]:
        """Every object of a kind, in one namespace or in all."""
        params: dict[str, str] = {}
        if labels:
            selector = labels if isinstance(labels, str) else ",".join(f"{k}={v}" for k, v in labels.items())
            params["labelSelector"] = selector
        if fields:
            params["fieldSelector"] = fields
        answer = self.request("GET", self.resource(api_version, kind).path(namespace), params=params)
        # Items of a list carry neither kind nor version.
        return [{**item, "apiVersion": api_version, "kind": kind} for item in answer.get("items") or []]

    def create(self, thing: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create the object; refuse fields that its schema does not know."""
        meta = thing["metadata"]
        kind = self.resource(thing["apiVersion"], thing["kind"])
        namespace = meta.get("namespace") or ("default" if kind.namespaced else None)
        params = {"fieldManager": self.field_manager, "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        return self.request("POST", kind.path(namespace), params=params, body=thing)

    def apply(
        self,
        thing: Mapping[str, Any],
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str | None = None,
    ) -> Object:
        """Server-side apply; refuse fields that the schema does not know.

        Raises:
            ApiError: status 409 and reason ``Conflict`` where another manager owns a field, with one cause a
            field.
        """
        params = {
            "fieldManager": manager or self.field_manager,
            "fieldValidation": "Strict",
            "force": "true" if force else "false",
        }
        if dry_run:
            params["dryRun"] = "All"
        return self.request("PATCH", self.path_of(thing), params=params, body=thing, content_type=_APPLY)

    def patch(self, thing: Mapping[str, Any], change: Mapping[str, Any], subresource: str = "") -> Object:
        """JSON merge patch."""
        params = {"fieldManager": self.field_manager}
        path = self.path_of(thing, subresource)
        return self.request("PATCH", path, params=params, body=change, content_type=_MERGE)

    def delete(
        self, thing: Mapping[str, Any], *, propagation: str = "Background", grace_seconds: int | None = None
    ) -> bool:
        """Ask for deletion (finalizers may delay it); say whether there was such an object."""
        body: dict[str, Any] = {"propagationPolicy": propagation}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        if uid := thing["metadata"].get("uid"):
            body["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", self.path_of(thing), body=body)
        except UnknownKindError:
            return False
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def apply_all(self, things: Iterable[Mapping[str, Any]], *, force: bool = True) -> None:
        """Apply objects in the order given, after their definitions and namespaces."""
        ordered = sorted(things, key=lambda t: {"CustomResourceDefinition": 0, "Namespace": 1}.get(t["kind"], 2))
        for thing in ordered:
            self.apply(thing, force=force)

    def watch(
        self, api_version: str, kind: str, seconds: int, *, since: str, fields: str | None = None
    ) -> Iterator[Object]:
        """Changes of a kind in all namespaces; ends after ``seconds`` at the latest.

        Args:
            api_version: group and version of the kind.
            kind: the kind.
            seconds: when it ends, if the server does not end it earlier.
            since: resource version of a list, to see every change after it.
            fields: field selector.

        Raises:
            ApiError, UnreachableError: it cannot start.
        """
        params = {
            "watch": "true",
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "false",
            "resourceVersion": since,
            **({"fieldSelector": fields} if fields else {}),
        }
        path = self.resource(api_version, kind).path()
        with contextlib.closing(self.stream(path, params, float(seconds + 10))) as lines:
            for line in lines:
                yield json.loads(line)

    def stream(self, path: str, params: Mapping[str, Any], seconds: float) -> Generator[bytes, None, None]:
        """The lines of an answer as they come, without empty ones, until it or its server ends, or says nothing for so
        many seconds.

        Raises:
            ApiError, UnreachableError: it cannot start.
        """
        answer = self._send("GET", path, params, None, "", seconds, stream=True)
        with answer:
            if not answer.ok:
                raise ApiError(answer.status_code, {"message": answer.text})
            with contextlib.suppress(requests.RequestException):  # a restarted server ends the stream
                yield from filter(None, answer.iter_lines())


def _innermost(error: BaseException) -> str:
    """What really happened, without the three wrappers of urllib3 around it."""
    seen: BaseException = error
    while True:
        inner = seen.__cause__ or seen.__context__ or getattr(seen, "reason", None)
        if not isinstance(inner, BaseException) or inner is seen:
            return str(seen) or type(seen).__name__
        seen = inner
