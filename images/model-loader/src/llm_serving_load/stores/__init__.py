"""Object stores: S3 and what speaks its protocol, and Google Cloud Storage.

Owns how objects are listed, read, written and replaced, and what a store's refusals mean. Leaves to ``sources`` and
``targets`` what the objects are. A store is one module with a class that satisfies :class:`ObjectStore`; adding one is
a line in ``_SCHEMES``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_serving_load.retrier import Retrier
from llm_serving_load.stores.gcs import GcsStore
from llm_serving_load.stores.s3 import S3Store
from llm_serving_load.stores.store import ObjectStore, StoredObject, Upload

__all__ = ["BucketPath", "ObjectStore", "StoredObject", "Upload", "bucket_path_of", "is_bucket", "open_store"]

_SCHEMES: dict[str, Callable[[str, Retrier | None], ObjectStore]] = {"s3": S3Store, "gs": GcsStore}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True)
class BucketPath:
    """A prefix in a bucket; ``path`` has no slash at either end, and may be empty."""

    scheme: str
    bucket: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.path}" if self.path else "")


def is_bucket(url: str) -> bool:
    """Whether a URL names a bucket."""
    return url.partition("://")[0] in _SCHEMES and "://" in url


def bucket_path_of(url: str) -> BucketPath:
    """The bucket and prefix that a URL names.

    Raises:
        ValueError: it names none.
    """
    parts = urlsplit(url)
    form = f"{parts.scheme}://BUCKET/PREFIX"
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError(f"write {form}, without ? and #")
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(f"{parts.netloc!r} is no name of a bucket; write {form}")
    path = parts.path.strip("/")
    if path and {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"the prefix must not have empty parts, . or ..; write {form}")
    return BucketPath(parts.scheme, parts.netloc, path)


def open_store(path: BucketPath, retrier: Retrier | None) -> ObjectStore:
    """The store of a bucket, each request to which is made again as ``retrier`` does; ``None``: is made once.

    Raises:
        LoadError: its client is not installed, or has no credentials.
    """
    return _SCHEMES[path.scheme](path.bucket, retrier)
