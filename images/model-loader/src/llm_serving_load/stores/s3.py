"""Amazon S3 and stores that speak its protocol, through botocore.

Credentials, region and endpoint are found as AWS's own tools find them: a pod's identity (IRSA, EKS Pod Identity),
AWS_ENDPOINT_URL and the other usual variables. Checksums travel as CRC-32C, which S3 verifies for each part and for the
whole object.
"""

import base64
import contextlib
import importlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from llm_serving_load.digests import Digests
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

_PART = 16 * 1024 * 1024
_MAX_PARTS = 10_000  # S3's own limit
_IN_FLIGHT = 2
"""Parts of one file that are sent while the next one is read. A file takes four times 16 MiB of memory: these, and the
next one twice at the moment at which it is handed over."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_CONNECTIONS = 64 * (_IN_FLIGHT + 1)
_MISSING = {"404", "NoSuchKey", "NotFound"}
_BUSY = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"}
_CONFLICT = {"412", "PreconditionFailed", "ConditionalRequestConflict", "OperationAborted", "NoSuchUpload"}
_CREDENTIALS = {"InvalidAccessKeyId", "InvalidToken", "InvalidClientTokenId", "InvalidIdentityToken", "AuthFailure"}
"""Keys, roles and identity providers that were made a moment ago are refused so, too."""
_ALWAYS_WRONG = {"SignatureDoesNotMatch", "AllAccessDisabled", "AccountProblem", "InvalidObjectState"}
"""Refusals that do not pass: another secret, an account that is closed, an object in an archive."""
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_REFUSED = {"403", "AccessDenied"}
_DENIED = re.compile(r"non 200 response 4\d\d")
"""What botocore says where the agent of EKS Pod Identity gives no credentials (ContainerMetadataFetcher)."""
_ABORT_ATTEMPTS = 3

_T = TypeVar("_T")


class S3Store:
    """A bucket of S3."""

    def __init__(self, bucket: str, retrier: Retrier | None) -> None:
        self._bucket = bucket
        self._retrier = retrier
        try:
            session: Any = importlib.import_module("botocore.session")
            config: Any = importlib.import_module("botocore.config")
        except ImportError:
            raise LoadError("s3://: the package botocore is missing; install it") from None
        self._errors: Any = importlib.import_module("botocore.exceptions")
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._client: Any = self.ask(  # which looks for credentials
            lambda: session.get_session().create_client(
                "s3",
                config=config.Config(
                    # It heeds no Retry-After (botocore 1.44, retries/standard.py); self.ask() asks again.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    max_pool_connections=_CONNECTIONS,
                    # A bucket's name is no part of the host's name in most stores other than Amazon's.
                    s3={"addressing_style": "path" if own else "auto"},
                ),
            )
        )
        self._endpoint: str = self._client.meta.endpoint_url

    @property
    def where(self) -> str:
        """The bucket as a URL."""
        return f"s3://{self._bucket}"

    def ask(self, request: Callable[[], _T], retrier: Retrier | None = None) -> _T:
        """What a request brings, made again as the store's retrier does, or another one."""

        def once() -> _T:
            with self.translated():
                return request()

        retrier = retrier or self._retrier
        return once() if retrier is None else retrier.retry(once)

    def list_objects(self, prefix: str) -> list[StoredObject]:
        """All objects below a prefix, without checksums."""

        def listing() -> list[StoredObject]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [
                StoredObject(entry["Key"], entry["Size"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", [])
            ]

        return self.ask(listing)

    def folders(self, prefix: str) -> list[str]:
        """From the common prefixes of a listing with a delimiter."""
        page = self.ask(lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/"))
        return [entry["Prefix"][len(prefix) : -1] for entry in page.get("CommonPrefixes", [])]

    def head(self, key: str) -> StoredObject | None:
        """An object with its checksums."""
        try:
            head = self.ask(lambda: self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED"))
        except MissingError:
            return None
        return StoredObject(key, head["ContentLength"], head["ETag"], _checksums(head))

    def read(self, key: str) -> bytes | None:
        """All bytes of a small object."""
        try:
            return self.ask(lambda: self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except MissingError:
            return None

    def open(self, stored: StoredObject, offset: int) -> "_S3Stream":
        """One request for the rest of the object."""
        if offset >= stored.size:
            return _S3Stream(self, None)  # nothing is left, and a range behind the end is refused
        try:
            answer = self.ask(
                lambda: self._client.get_object(
                    Bucket=self._bucket, Key=stored.key, Range=f"bytes={offset}-", IfMatch=stored.version
                )
            )
        except LostPartError:
            raise TemporaryError(f"{self.where}/{stored.key}: it was replaced while it was read; load again") from None
        return _S3Stream(self, answer["Body"])

    def put(self, key: str, content: bytes, replaces_version: str | None, sha256: str | None = None) -> None:
        """In one request, which the store refuses unless the object still has that version."""
        self.ask(
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content,
                ContentType=TYPE,
                Metadata=_note(sha256),
                ChecksumAlgorithm="CRC32C",
                ChecksumCRC32C=_crc32c(content),
                **_condition(replaces_version),
            )
        )

    def upload(self, key: str, size: int, replaces_version: str | None, sha256: str | None) -> "S3Upload":
        """Begin a multipart upload; the version is checked when it is committed."""
        begun = self.ask(
            lambda: self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                ContentType=TYPE,
                Metadata=_note(sha256),
                ChecksumAlgorithm="CRC32C",
                ChecksumType="FULL_OBJECT",
            )
        )
        return S3Upload(
            self,
            self._client,
            {"Bucket": self._bucket, "Key": key, "UploadId": begun["UploadId"]},
            size,
            replaces_version,
        )

    def abort_uploads(self, prefix: str) -> None:
        """Abort the multipart uploads below a prefix; their parts would be kept, and paid for, until somebody does."""
        with self.translated():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
            for entry in [entry for page in pages for entry in page.get("Uploads", [])]:
                with contextlib.suppress(self._errors.ClientError):  # its owner ended it meanwhile
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=entry["Key"], UploadId=entry["UploadId"]
                    )

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """One clear message for each way in which S3 says no."""
        errors = self._errors
        try:
            yield
        except errors.ClientError as error:
            self._refuse(error)
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
            raise LoadError(
                f"{self.where}: there are no credentials ({error}); give the pod an identity (service account), or set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except errors.CredentialRetrievalError as error:
            if not _DENIED.search(str(error)):
                raise InterruptedTransferError(f"{self.where}: no credentials yet ({brief(error)})") from error
            raise RefusedError(
                f"{self.where}: the pod's identity is given no credentials ({brief(error)}); check its association "
                "with a role (EKS Pod Identity) and the role's trust policy"
            ) from None
        except (errors.ParamValidationError, errors.InvalidRegionError) as error:
            raise LoadError(f"{self.where}: {brief(error)}; correct the name or the variable") from None
        except (errors.BotoCoreError, OSError) as error:
            if is_untrusted(error):
                raise LoadError(
                    f"{self.where}: a certificate on the way is not trusted ({brief(error)}); {TRUST_ADVICE}"
                ) from None
            raise InterruptedTransferError(
                f"{self.where}: the store does not answer ({type(error).__name__}: {brief(error)}); check the network "
                "policy, the proxy and AWS_ENDPOINT_URL"
            ) from error
        except ValueError as error:  # an endpoint that is no URL
            raise LoadError(f"{self.where}: {brief(error)}; correct AWS_ENDPOINT_URL") from None

    def _refuse(self, error: Any) -> NoReturn:
        answer: dict[str, Any] = error.response
        code = str(answer.get("Error", {}).get("Code", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        text = f"{error.operation_name}: {code}: {brief(answer.get('Error', {}).get('Message', ''))}"
        if code == "NoSuchBucket":
            raise LoadError(
                f"{self.where}: there is no such bucket at {self._endpoint}; check the name, the account and "
                "AWS_ENDPOINT_URL"
            ) from None
        if code in _CONFLICT or status == 412:
            raise LostPartError(text) from None
        if code in _MISSING:
            raise MissingError(f"{self.where}: {text}; it is not there") from None
        if code == "NotImplemented" or status == 501:
            raise LoadError(
                f"{self.where}: the store at {self._endpoint} cannot do it ({text}); the loader needs conditional "
                "writes and checksums, as S3 has them: name another store, or a folder"
            ) from None
        if code in _BUSY or code == "ExpiredToken" or status in (408, 429) or status >= 500:
            headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            raise InterruptedTransferError(
                f"{self.where}: the store answers {status} ({text})", retry_after(headers)
            ) from error
        kind = LoadError if code in _ALWAYS_WRONG else RefusedError
        if code in _CREDENTIALS or status == 401 or code == "SignatureDoesNotMatch":
            raise kind(
                f"{self.where}: the credentials{_whose()} are refused ({text}); give valid ones by the pod's identity "
                "or by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
            ) from None
        if code in _REGION:
            raise LoadError(f"{self.where}: the bucket is in another region ({text}); set AWS_REGION to it") from None
        if code in _REFUSED or status == 403:
            raise kind(
                f"{self.where}: it is refused{_whose()} ({text}); a source needs s3:ListBucket and s3:GetObject, a "
                "target also s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads"
            ) from None
        raise LoadError(f"{self.where}: the store refuses it ({status}, {text})") from None


class S3Upload:
    """A multipart upload. Parts are sent by threads of their own, so that the next one is read meanwhile."""

    def __init__(
        self, store: S3Store, client: Any, names: dict[str, str], size: int, replaces_version: str | None
    ) -> None:
        self._store = store
        self._client = client
        self._names = names
        self._size = size
        self._replaces_version = replaces_version
        self._part_size = max(_PART, -(-size // _MAX_PARTS))
        self._part = bytearray()
        self._sent = 0
        self._whole = Digests(["crc32c"])
        self._running: deque[Future[dict[str, Any]]] = deque()
        self._parts: list[dict[str, Any]] = []
        self._threads = ThreadPoolExecutor(_IN_FLIGHT, "part")
        self._open = True

    def write(self, block: memoryview) -> None:
        """Fill the part, and send it where it is full."""
        while block:
            room = self._part_size - len(self._part)
            self._part += block[:room]
            block = block[room:]
            if len(self._part) == self._part_size:
                self._send()

    def commit(self) -> None:
        """Send the rest and complete the upload; S3 compares the checksum of the whole."""
        if self._part:
            self._send()
        while self._running:
            self._parts.append(self._running.popleft().result())
        crc32c = self._whole.hexadecimal()["crc32c"]
        done = self._store.ask(
            lambda: self._client.complete_multipart_upload(
                **self._names,
                MultipartUpload={"Parts": self._parts},
                ChecksumType="FULL_OBJECT",
                ChecksumCRC32C=base64.b64encode(bytes.fromhex(crc32c)).decode(),
                **_condition(self._replaces_version),
            )
        )
        self._open = False
        self._threads.shutdown()
        key = self._names["Key"]
        stored = self._store.head(key)
        if stored is None or done.get("ETag", stored.version) != stored.version:
            raise LostPartError(key)  # removed, or replaced by another loader
        if stored.size != self._size or stored.checksums.get("crc32c", crc32c) != crc32c:
            version = stored.version
            self._store.ask(lambda: self._client.delete_object(Bucket=self._names["Bucket"], Key=key, IfMatch=version))
            raise TemporaryError(f"{self._store.where}/{key}: the store has stored other bytes; load again")

    def discard(self) -> None:
        """Abort: parts that were sent are removed, also where the loader was told to end."""
        if not self._open:
            return
        self._open = False
        self._threads.shutdown(wait=True, cancel_futures=True)
        with contextlib.suppress(LoadError, LostPartError):
            self._store.ask(lambda: self._client.abort_multipart_upload(**self._names), Retrier(_ABORT_ATTEMPTS))

    def _send(self) -> None:
        content, self._part = bytes(self._part), bytearray()
        self._whole.update(content)
        self._sent += 1
        self._running.append(self._threads.submit(self._send_part, content, self._sent))
        if len(self._running) > _IN_FLIGHT:
            self._parts.append(self._running.popleft().result())

    def _send_part(self, content: bytes, number: int) -> dict[str, Any]:
        checksum = _crc32c(content)
        answer = self._store.ask(
            lambda: self._client.upload_part(
                **self._names,
                PartNumber=number,
                Body=content,
                ChecksumAlgorithm="CRC32C",
                ChecksumCRC32C=checksum,
            )
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32C": checksum}


class _S3Stream:
    """The body of a response, read as it arrives."""

    def __init__(self, store: S3Store, body: Any) -> None:
        self._store = store
        self._body = body

    def readinto(self, buffer: memoryview, /) -> int:
        if self._body is None:
            return 0
        with self._store.translated():
            content: bytes = self._body.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()


def _whose() -> str:
    """The role of the pod, where its environment names one; S3's own answer names who asked in most other cases."""
    role = os.environ.get("AWS_ROLE_ARN")
    return f" for {role}" if role else ""


def _condition(replaces_version: str | None) -> dict[str, str]:
    """S3 writes only where the object is what the writer believes it to be."""
    return {"IfNoneMatch": "*"} if replaces_version is None else {"IfMatch": replaces_version}


def _note(sha256: str | None) -> dict[str, str]:
    return {} if sha256 is None else {NOTE: sha256}


def _crc32c(content: bytes) -> str:
    digests = Digests(["crc32c"])
    digests.update(content)
    return base64.b64encode(bytes.fromhex(digests.hexadecimal()["crc32c"])).decode()


def _checksums(head: dict[str, Any]) -> dict[str, str]:
    """What S3 knows of the whole object. A checksum over the parts' checksums ends with - and their number."""
    checksums = {"sha256": head["Metadata"][NOTE]} if NOTE in head.get("Metadata", {}) else {}
    for algorithm, field in (("sha256", "ChecksumSHA256"), ("crc32c", "ChecksumCRC32C"), ("crc32", "ChecksumCRC32")):
        value = head.get(field)
        if value is not None and "-" not in value:
            checksums[algorithm] = base64.b64decode(value).hex()
    tag = head["ETag"].strip('"')
    # An ETag is the MD5 only of an object in one part, encrypted with S3's own key or not at all
    # (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
    own_key = head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
    if own_key and len(tag) == 32 and "-" not in tag:
        checksums["md5"] = tag
    return checksums
