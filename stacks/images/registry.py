"""One repository of a registry, over the registry's own API.

Owns the protocol: the OCI distribution specification (https://github.com/opencontainers/distribution-spec) and Docker's
token authentication in front of it (https://distribution.github.io/distribution/spec/auth/token/). Leaves alone: what
is pushed, and the lock. Like Docker it speaks HTTPS, and plain HTTP to this machine alone.
"""

import contextlib
import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util import Retry

from stacks.images.build_context import ImageError
from stacks.images.credentials import ECR_PASSWORD, GOOGLE_TOKEN, IDENTITY_TOKEN_USER, login_for
from stacks.images.oci_archive import INDEX_TYPES, MANIFEST_TYPES, VERSION_LABEL, Descriptor, Manifest

DOCKER_HUB = "docker.io"
_HOSTS = {DOCKER_HUB: "registry-1.docker.io"}
"""Registries whose API answers under another name than the one that images have."""

_REFERENCE = re.compile(
    r"(?P<host>localhost(?::\d+)?|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|[a-z0-9-]+:\d+|\[[0-9a-f:]+\](?::\d+)?)"
    r"/(?P<path>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT_S = (15, 300)
"""To connect, and between two bytes: a registry may think for long over a large layer that it has just got."""
_ATTEMPTS = 4
_TRANSIENT = (429, 500, 502, 503, 504)
_UPLOAD = "application/octet-stream"


@dataclass(frozen=True)
class Repository:
    """A repository by registry and path, ``europe-docker.pkg.dev/my-project/serving/vllm``."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"{'http' if self.is_local else 'https'}://{_HOSTS.get(self.host, self.host)}/v2/{self.path}/"

    @property
    def is_local(self) -> bool:
        """Whether its registry is on this machine, to which Docker too speaks without TLS."""
        return _is_local(self.host)

    def may_send_to(self, url: str) -> bool:
        """Whether its registry may send us to a place: one that speaks HTTPS, or from this machine to this machine."""
        to = urlsplit(url)
        return to.scheme == "https" or (to.scheme == "http" and self.is_local and _is_local(to.netloc))

    def has(self, url: str) -> bool:
        """Whether a place is of its registry, so that it may see the login."""
        return _origin(url) == _origin(self.url)


def parse_repository(text: str) -> Repository:
    """A repository without a tag.

    Raises:
        ImageError: it is none, or names no registry.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ImageError(
            f"{text!r}: it must be a registry and a path in it, without a tag, like "
            "europe-docker.pkg.dev/my-project/serving"
        )
    return Repository(match["host"], match["path"])


def parse_tagged(text: str) -> tuple[Repository, str]:
    """A repository and a tag.

    Raises:
        ImageError: it is none; a digest in it counts as none, since it leaves nothing to resolve.
    """
    repository, colon, tag = text.rpartition(":")
    if not colon or not _TAG.fullmatch(tag) or "@" in text:
        raise ImageError(f"{text!r}: it must be a registry, a path in it and a tag, like docker.io/vllm/vllm-openai:v1")
    return parse_repository(repository), tag


class RegistryClient:
    """Reads and writes one repository.

    Args:
        repository: which.
        environment: variables that hold logins, see :mod:`stacks.images.credentials`.
        pushes: whether it is to write too: a token is then asked for with the right to.

    Every method raises ImageError where the registry cannot be reached, refuses the login, or refuses what is asked.
    """

    def __init__(
        self, repository: Repository, environment: Mapping[str, str] = os.environ, *, pushes: bool = False
    ) -> None:
        self.repository = repository
        self._actions = "pull,push" if pushes else "pull"
        self._environment = environment
        self._auth: AuthBase | None = None
        self._session = requests.Session()
        # No proxy stands between this machine and itself.
        self._session.trust_env = not repository.is_local
        retry = Retry(
            total=_ATTEMPTS - 1,
            status_forcelist=_TRANSIENT,
            allowed_methods=("GET", "HEAD"),
            backoff_factor=0.5,
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def digest_of(self, tag: str) -> str | None:
        """The digest that a tag leads to now; ``None`` where there is no such tag."""
        accept = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
        head = self._ask("HEAD", f"manifests/{tag}", headers=accept, fine=(200, 404))
        if head.status_code == 404:
            return None
        digest = head.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(digest):
            return digest
        # The header is optional: the digest is that of the content.
        content = self._ask("GET", f"manifests/{tag}", headers=accept, fine=(200,)).content
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def layers_of(self, reference: str) -> list[list[str]]:
        """Digests of an image's layers, from the base up: a list for each of its platforms."""
        return [[layer["digest"] for layer in manifest.get("layers", ())] for manifest in self._platforms(reference)]

    def version_of(self, reference: str) -> str | None:
        """The version that an image says of itself on its first platform; ``None`` where it says none."""
        for manifest in self._platforms(reference):
            about: Any = manifest.get("config") or {}
            if "digest" not in about:
                return None
            data: Any = self._ask("GET", f"blobs/{about['digest']}", fine=(200,)).json()
            container: Any = data.get("config") or {}
            labels: Any = container.get("Labels") or {}
            version = labels.get(VERSION_LABEL)
            return version if isinstance(version, str) else None
        return None

    def _platforms(self, reference: str) -> Iterator[dict[str, Any]]:
        """The manifest of an image for each of its platforms."""
        accept = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
        manifest: Any = self._ask("GET", f"manifests/{reference}", headers=accept, fine=(200,)).json()
        if "manifests" not in manifest:
            yield manifest
            return
        for entry in manifest["manifests"]:
            # Attestations of buildx are entries of an unknown platform.
            if entry.get("platform", {}).get("os") != "unknown":
                yield from self._platforms(entry["digest"])

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        return self._ask("HEAD", f"blobs/{digest}", fine=(200, 404)).status_code == 200

    def put_blob(self, blob: Descriptor, source: Callable[[], IO[bytes]]) -> None:
        """Upload a blob; the registry compares its digest.

        Args:
            blob: what it is.
            source: opens it; called again where an upload broke off.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with source() as file:
                    self._upload(blob, file)
                return
            except _UploadError as error:
                if attempt == _ATTEMPTS:
                    raise ImageError(f"{self.repository}: {blob.digest} could not be uploaded: {error}") from None

    def put_manifest(self, manifest: Manifest, reference: str) -> str:
        """Write a manifest whose blobs, or manifests, are there; the digest by which the registry knows it."""
        headers = {"Content-Type": manifest.descriptor.media_type}
        path = f"manifests/{reference}"
        done = self._ask("PUT", path, headers=headers, data=manifest.content, fine=(201, 202))
        return done.headers.get("Docker-Content-Digest", manifest.descriptor.digest)

    def _upload(self, blob: Descriptor, file: IO[bytes]) -> None:
        # As Docker does it, since every registry is tried with that: one PATCH with all of it, then the digest.
        with _breaks():
            begun = self._ask("POST", "blobs/uploads/", headers={"Content-Length": "0"}, fine=(202, *_TRANSIENT))
            place = self._location(begun)
            sent = self._send("PATCH", place, headers={"Content-Type": _UPLOAD}, data=file if blob.size else b"")
            if sent.status_code == 401 and self.repository.has(sent.url):
                # The token was good for less long than what came before it took.
                self._log_in(sent)
                raise _UploadError("the login had run out")
            self._check(sent, "PATCH", (202, 204, *_TRANSIENT))
            place = self._location(sent)
            done = self._send("PUT", place, params={"digest": blob.digest}, headers={"Content-Length": "0"})
            self._check(done, "PUT", (201, 204, *_TRANSIENT))
            if done.status_code in _TRANSIENT:
                raise _UploadError(f"{done.status_code} {done.reason}")

    def _location(self, response: requests.Response) -> str:
        if response.status_code in _TRANSIENT:
            raise _UploadError(f"{response.status_code} {response.reason}")
        if not response.headers.get("Location"):
            raise ImageError(f"{self.repository}: the registry did not say where to upload to")
        place = urljoin(response.url, response.headers["Location"])  # it may be a path alone
        if not self.repository.may_send_to(place):
            # Often a proxy in front of the registry that does not tell it `X-Forwarded-Proto`.
            raise ImageError(f"{self.repository}: its uploads go to {_without_query(place)!r}, which is not HTTPS")
        return place

    def _ask(self, method: str, path: str, *, fine: tuple[int, ...], **options: Any) -> requests.Response:
        url = urljoin(self.repository.url, path)
        try:
            response = self._send(method, url, **options)
            if response.status_code == 401:
                self._log_in(response)
                response = self._send(method, url, **options)
        except requests.RequestException as error:
            raise ImageError(f"{self.repository}: the registry cannot be reached: {_cause(error)}") from None
        return self._check(response, method, fine)

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        # The login as `auth`, not as a header: `requests` would put one of ~/.netrc in the place of a header.
        # An upload may go to another host, such as an object store; the login is none of its business.
        auth = (self._auth if self.repository.has(url) else None) or _nobody
        return self._session.request(method, url, auth=auth, timeout=_TIMEOUT_S, allow_redirects=True, **options)

    def _check(self, response: requests.Response, method: str, fine: tuple[int, ...]) -> requests.Response:
        if response.status_code in fine:
            return response
        told = f"{response.status_code} {response.reason}{_told(response)}"
        if response.status_code in (401, 403):
            raise ImageError(f"{self.repository}: the registry refuses it: {told}; {self._how_to_log_in()}")
        raise ImageError(f"{self.repository}: the registry answers {method} {response.request.path_url} with {told}")

    def _log_in(self, response: requests.Response) -> None:
        """What the challenge of a refused request asks for (RFC 9110, 11.6.1); nothing where it is that of another
        host, to which the registry had sent us."""
        if not self.repository.has(response.url):
            return
        scheme, _, text = response.headers.get("WWW-Authenticate", "").partition(" ")
        login = login_for(self.repository.host, self._environment)
        if scheme.lower() == "basic":
            self._auth = HTTPBasicAuth(login.user, login.secret) if login else None
        elif scheme.lower() == "bearer":
            self._auth = _Bearer(self._token(dict(_CHALLENGE.findall(text))))

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        if not self.repository.may_send_to(realm):
            raise ImageError(f"{self.repository}: its logins are at {realm!r}, which is not HTTPS")
        login = login_for(self.repository.host, self._environment)
        # One token for all that follows: the challenge of a HEAD, with which a push begins, asks for reading alone, and
        # a registry may answer 403, not 401, to a token that lacks a right.
        scope = f"repository:{self.repository.path}:{self._actions}"
        wanted = {key: value for key, value in (("service", challenge.get("service")), ("scope", scope)) if value}
        try:
            if login is not None and login.user == IDENTITY_TOKEN_USER:
                form = {**wanted, "grant_type": "refresh_token", "refresh_token": login.secret, "client_id": "stacks"}
                answer = self._session.post(realm, data=form, auth=_nobody, timeout=_TIMEOUT_S)
            else:
                who = HTTPBasicAuth(login.user, login.secret) if login else _nobody
                answer = self._session.get(realm, params=wanted, auth=who, timeout=_TIMEOUT_S)
            data: Any = answer.json() if answer.ok else None
        except (requests.RequestException, ValueError) as error:
            raise ImageError(f"{self.repository}: its logins at {realm} cannot be reached: {_cause(error)}") from None
        tokens = cast(dict[str, Any], data) if isinstance(data, dict) else {}
        token = tokens.get("token") or tokens.get("access_token")
        if not isinstance(token, str):
            raise ImageError(
                f"{self.repository}: {realm} gives no token: {answer.status_code} {answer.reason}; "
                f"{self._how_to_log_in()}"
            )
        return token

    def _how_to_log_in(self) -> str:
        host = self.repository.host
        if host.endswith(".pkg.dev"):
            return f"log in: gcloud auth configure-docker {host}, or {GOOGLE_TOKEN}=$(gcloud auth print-access-token)"
        if ".dkr.ecr." in host:
            return f"log in: docker login {host}, or {ECR_PASSWORD}=$(aws ecr get-login-password)"
        return f"log in: docker login {host}"


class _UploadError(Exception):
    """An upload that may go well the next time."""


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


def _is_local(host: str) -> bool:
    """Whether a host, with its port or without, is this machine."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str]:
    """Scheme and host of a place, with the port where it is not the scheme's own."""
    to = urlsplit(url)
    return to.scheme, to.netloc.lower().removesuffix({"https": ":443", "http": ":80"}.get(to.scheme, ""))


def _without_query(url: str) -> str:
    """For messages: the query of an upload may hold a signature that lets others write."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No login, of ~/.netrc neither."""
    return request


@contextlib.contextmanager
def _breaks() -> Generator[None]:
    try:
        yield
    except requests.RequestException as error:
        raise _UploadError(_cause(error)) from None


def _cause(error: BaseException) -> str:
    """The innermost reason: `requests` and urllib3 wrap it in their own."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _told(response: requests.Response) -> str:
    """What the registry says of a refusal."""
    try:
        errors = response.json()["errors"]
        texts = [str(item.get("message") or item.get("code")) for item in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({'; '.join(texts)})" if texts else ""
