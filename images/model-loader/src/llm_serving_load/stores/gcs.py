"""Google Cloud Storage, through Google's own client.

Credentials are those that Google's library finds: a pod's identity (Workload Identity), a federated identity or
GOOGLE_APPLICATION_CREDENTIALS. STORAGE_EMULATOR_HOST names another server. Checksums are CRC-32C, which the store has
for every object.
"""

import base64
import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from llm_serving_load.errors import (
    InterruptedTransferError,
    LoadError,
    LostPartError,
    MissingError,
    RefusedError,
    TemporaryError,
    brief,
)
from llm_serving_load.outbound import TRUST_ADVICE, is_untrusted
from llm_serving_load.retrier import Retrier
from llm_serving_load.retry_after import retry_after
from llm_serving_load.stores.store import NOTE, TYPE, StoredObject

_PART = 16 * 1024 * 1024  # a multiple of 256 KiB, as the store demands
_TIMEOUT = (10, 60)
"""Seconds to connect, and without a byte."""

_T = TypeVar("_T")


class GcsStore:
    """A bucket of Google Cloud Storage."""

    def __init__(self, bucket: str, retrier: Retrier | None) -> None:
        self._name = bucket
        self._retrier = retrier
        self._client: Any = None
        try:
            storage: Any = importlib.import_module("google.cloud.storage")
        except ImportError:
            raise LoadError("gs://: the package google-cloud-storage is missing; install it") from None
        self._fileio: Any = importlib.import_module("google.cloud.storage.fileio")
        self._errors: Any = importlib.import_module("google.api_core.exceptions")
        self._media_errors: Any = importlib.import_module("google.cloud.storage.exceptions")
        self._auth_errors: Any = importlib.import_module("google.auth.exceptions")
        self._requests: Any = importlib.import_module("requests")
        # In place of the library's own google.api_core.retry.Retry, which is called in the same way and heeds no
        # Retry-After.
        self._retry: Any = None if retrier is None else lambda request: lambda: self._ask(request)
        # A project is asked for only to list or to make buckets; without this the library would look for one, and fail
        # where the credentials name none (Client.__init__ of google-cloud-storage 3).
        with self.translated():
            self._client = self._ask(lambda: storage.Client(project=None))
        _widen(self._client, self._requests)
        self._bucket: Any = self._client.bucket(bucket)
        self._request_options = {"retry": self._retry, "timeout": _TIMEOUT}

    @property
    def where(self) -> str:
        """The bucket as a URL."""
        return f"gs://{self._name}"

    def _ask(self, request: Callable[[], _T]) -> _T:
        """What a request of the library brings, made again as the retrier does; other errors stay the library's own,
        which it looks for itself."""

        def once() -> _T:
            try:
                return request()
            except Exception as error:
                try:
                    with self.translated():
                        raise
                except (InterruptedTransferError, RefusedError):
                    raise
                except Exception:
                    raise error from None

        return request() if self._retrier is None else self._retrier.retry(once)

    def list_objects(self, prefix: str) -> list[StoredObject]:
        """All objects below a prefix, with their checksums."""
        with self.translated():
            return [
                _stored(blob) for blob in self._client.list_blobs(self._bucket, prefix=prefix, **self._request_options)
            ]

    def folders(self, prefix: str) -> list[str]:
        """From the prefixes that a listing with a delimiter brings."""
        with self.translated():
            listing = self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/", **self._request_options)
            for _ in listing:
                pass  # the prefixes come with the pages
            return sorted(name[len(prefix) : -1] for name in listing.prefixes)

    def head(self, key: str) -> StoredObject | None:
        """An object with its checksums."""
        with self.translated():
            blob = self._bucket.get_blob(key, **self._request_options)
        return None if blob is None else _stored(blob)

    def read(self, key: str) -> bytes | None:
        """All bytes of a small object."""
        try:
            with self.translated():
                return self._bucket.blob(key).download_as_bytes(**self._request_options)
        except MissingError:
            return None

    def open(self, stored: StoredObject, offset: int) -> "_GcsStream":
        """A request for each range of some megabytes."""
        return _GcsStream(self, self._bucket.blob(stored.key), stored, offset, self._request_options)

    def put(self, key: str, content: bytes, replaces_version: str | None, sha256: str | None = None) -> None:
        """In one request, which the store refuses unless the object still has that version."""
        blob = self._blob(key, sha256)
        with self.translated():
            blob.upload_from_string(
                content,
                content_type=TYPE,
                if_generation_match=int(replaces_version or 0),
                checksum="crc32c",
                **self._request_options,
            )

    def upload(self, key: str, size: int, replaces_version: str | None, sha256: str | None) -> "GcsUpload":
        """Begin a resumable upload; the version is checked when it is committed. Parts that are lost on the way are
        sent again."""
        blob = self._blob(key, sha256)
        with self.translated():
            writer = _writer(self._fileio)(
                blob,
                chunk_size=_PART,
                retry=self._retry,
                content_type=TYPE,
                if_generation_match=int(replaces_version or 0),
                checksum="crc32c",
                timeout=_TIMEOUT,
            )
        return GcsUpload(self, blob, writer, size)

    def abort_uploads(self, prefix: str) -> None:
        """Nothing: an upload that never ended is no object, costs nothing and is forgotten after a week
        (https://cloud.google.com/storage/docs/resumable-uploads)."""

    def _blob(self, key: str, sha256: str | None) -> Any:
        blob = self._bucket.blob(key)
        if sha256 is not None:
            blob.metadata = {NOTE: sha256}
        return blob

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """One clear message for each way in which the store says no."""
        errors, auth = self._errors, self._auth_errors
        try:
            yield
        except errors.GoogleAPICallError as error:
            self._refuse(int(error.code or 0), error)
        except self._media_errors.InvalidResponse as error:
            self._refuse(int(error.response.status_code), error)
        except self._media_errors.DataCorruption as error:
            raise TemporaryError(f"{self.where}: bytes were damaged on the way ({brief(error)}); load again") from None
        except auth.DefaultCredentialsError as error:
            # GKE's metadata server answers some seconds after a pod's start ("Restrictions", https://cloud.google.com/
            # kubernetes-engine/docs/concepts/workload-identity); nothing else makes credentials come later.
            in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ
            raise (RefusedError if in_pod else LoadError)(
                f"{self.where}: there are no credentials ({brief(error)}); give the pod an identity (service account), "
                "or set GOOGLE_APPLICATION_CREDENTIALS"
            ) from None
        except (auth.TransportError, self._requests.RequestException, errors.RetryError, OSError) as error:
            if is_untrusted(error):
                raise LoadError(
                    f"{self.where}: a certificate on the way is not trusted ({brief(error)}); {TRUST_ADVICE}"
                ) from None
            raise InterruptedTransferError(
                f"{self.where}: the store does not answer ({type(error).__name__}: {brief(error)}); check the network "
                "policy, the proxy and STORAGE_EMULATOR_HOST"
            ) from error
        except auth.GoogleAuthError as error:
            if getattr(error, "retryable", False):
                raise InterruptedTransferError(f"{self.where}: no token yet ({brief(error)})") from error
            status, text = _token_answer(error)
            if status in (0, 408, 429) or status >= 500:
                raise InterruptedTransferError(f"{self.where}: no token yet ({text})") from error
            raise RefusedError(
                f"{self.where}: the credentials{self._whose()} are refused ({text}); check the pod's service account "
                "and its binding, or GOOGLE_APPLICATION_CREDENTIALS"
            ) from None

    def _refuse(self, status: int, error: Exception) -> NoReturn:
        text = brief(error)
        if status == 412:
            raise LostPartError(text) from None
        if status in (404, 410):
            raise MissingError(
                f"{self.where}: it is not there, or the bucket is not ({text}); check the name and the project"
            ) from None
        if status in (408, 429) or status >= 500:
            response = getattr(error, "response", None)
            headers = {} if response is None else response.headers
            raise InterruptedTransferError(
                f"{self.where}: the store answers {status} ({text})", retry_after(headers)
            ) from error
        if status == 401:
            raise RefusedError(
                f"{self.where}: the credentials{self._whose()} are refused ({text}); check the pod's service account "
                "and its binding, or GOOGLE_APPLICATION_CREDENTIALS"
            ) from None
        if status == 403:
            raise RefusedError(
                f"{self.where}: it is refused{self._whose()} ({text}); a source needs the role storage.objectViewer on "
                "the bucket, a target storage.objectUser"
            ) from None
        raise LoadError(f"{self.where}: the store refuses it ({status}, {text})") from None

    def _whose(self) -> str:
        """The service account, once the credentials name it."""
        account = getattr(getattr(self._client, "_credentials", None), "service_account_email", None)
        return f" for {account}" if account and account != "default" else ""


class GcsUpload:
    """A resumable upload: the object exists once it is committed."""

    def __init__(self, store: GcsStore, blob: Any, writer: Any, size: int) -> None:
        self._store = store
        self._blob = blob
        self._writer = writer
        self._size = size
        self._open = True

    def write(self, block: memoryview) -> None:
        """Send what fills a part."""
        with self._taken_away(), self._store.translated():
            self._writer.write(block)

    def commit(self) -> None:
        """Send the rest; the client compares the store's checksum with its own over all bytes."""
        with self._taken_away(), self._store.translated():
            self._writer.finish()
        self._open = False
        stored = self._store.head(self._blob.name)
        if stored is None:
            raise LostPartError(self._blob.name)
        if stored.size != self._size:
            with self._store.translated():
                self._blob.delete(if_generation_match=int(stored.version))
            raise TemporaryError(
                f"{self._store.where}/{self._blob.name}: the store has {stored.size} bytes of {self._size}; load again"
            )

    def discard(self) -> None:
        """Cancel the upload."""
        if self._open:
            self._open = False
            with contextlib.suppress(LoadError, LostPartError), self._store.translated():
                self._writer.terminate()

    @contextlib.contextmanager
    def _taken_away(self) -> Iterator[None]:
        """An upload that the store knows no more."""
        try:
            yield
        except MissingError as error:
            raise LostPartError(str(error)) from None


class _GcsStream:
    """Ranges of an object, all of the same generation."""

    def __init__(
        self, store: GcsStore, blob: Any, stored: StoredObject, offset: int, request_options: dict[str, Any]
    ) -> None:
        self._store = store
        self._blob = blob
        self._stored = stored
        self._offset = offset
        self._request_options = request_options
        self._left = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._left and self._offset < self._stored.size:
            self._left = memoryview(b"")  # an empty slice still holds the whole range that came before
            self._left = memoryview(self._range())
            self._offset += len(self._left)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._left = memoryview(b"")

    def _range(self) -> bytes:
        last = min(self._offset + _PART, self._stored.size) - 1
        try:
            with self._store.translated():
                return self._blob.download_as_bytes(
                    start=self._offset,
                    end=last,
                    if_generation_match=int(self._stored.version),
                    raw_download=True,
                    checksum=None,  # of the whole object, and so compared by whoever reads all of it
                    **self._request_options,
                )
        except (LostPartError, MissingError):
            raise TemporaryError(
                f"{self._store.where}/{self._stored.key}: it was replaced while it was read; load again"
            ) from None


def _token_answer(error: Exception) -> tuple[int, str]:
    """Status and text with which a token was refused; 0 where there was no answer.

    Of the metadata server they are the arguments of the error that the library wraps (google-auth 2.62,
    compute_engine/_metadata.py); who else refuses tokens says no for good (403).
    """
    wrapped = error.__cause__
    arguments: list[Any] = [] if wrapped is None else list(wrapped.args)
    if type(wrapped).__name__ != "TransportError" or not arguments:
        return 403, brief(error)
    answer = arguments[1] if len(arguments) > 1 else None
    return int(getattr(answer, "status", 0)), " ".join(str(arguments[0]).split())


def _writer(fileio: Any) -> Any:
    """Google's writer, except that it never completes an object by itself: Python closes a file that is forgotten, and
    half a file would become an object."""

    class Writer(fileio.BlobWriter):
        def close(self) -> None:
            pass

        def finish(self) -> None:
            super().close()

    return Writer


def _widen(client: Any, requests: Any) -> None:
    """As many connections as there may be workers."""
    adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=128)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)


def _stored(blob: Any) -> StoredObject:
    checksums = {"crc32c": base64.b64decode(blob.crc32c).hex()} if blob.crc32c else {}
    if blob.md5_hash:
        checksums["md5"] = base64.b64decode(blob.md5_hash).hex()
    if NOTE in (blob.metadata or {}):
        checksums["sha256"] = blob.metadata[NOTE]
    return StoredObject(blob.name, int(blob.size), str(blob.generation), checksums)
