"""What every object store can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from llm_serving_load.streams import Stream

NOTE = "llm-serving-sha256"
"""Custom metadata of an object: the SHA-256 that the loader has verified, or will have before the object exists."""

TYPE = "application/octet-stream"


@dataclass(frozen=True)
class StoredObject:
    """An object as the store describes it.

    Attributes:
        key: its name in the bucket.
        size: bytes.
        version: changes with every write: the generation or the ETag.
        checksums: of all of its bytes, in hexadecimal, by algorithm, as far as the store tells them.
    """

    key: str
    size: int
    version: str
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])


class Upload(Protocol):
    """An object that is being written and does not exist yet."""

    def write(self, block: memoryview) -> None:
        """Append.

        Raises:
            LostPartError: it was taken away.
            LoadError: the store refuses it, or does not answer any more.
        """
        ...

    def commit(self) -> None:
        """Let it exist, after the store has confirmed its size and its checksum.

        Raises:
            LostPartError: it was taken away, or the object is no longer the one that was to be replaced.
            LoadError: the store refuses it, does not answer, or has stored other bytes.
        """
        ...

    def discard(self) -> None:
        """Give it up; does nothing after :meth:`commit`."""
        ...


class ObjectStore(Protocol):
    """A bucket. Methods may be called from several threads, and raise a :class:`LoadError` where the store refuses, and
    an :class:`InterruptedTransferError` where it does not answer."""

    @property
    def where(self) -> str:
        """The bucket as a URL."""
        ...

    def list_objects(self, prefix: str) -> list[StoredObject]:
        """All objects whose keys begin with the prefix. Checksums only where the store lists them."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """The parts up to the next slash of the keys that begin with the prefix, as folders would be listed."""
        ...

    def head(self, key: str) -> StoredObject | None:
        """The object's size, version and checksums, without its bytes; ``None`` where there is none."""
        ...

    def read(self, key: str) -> bytes | None:
        """All bytes of a small object; ``None`` where there is none."""
        ...

    def open(self, stored: StoredObject, offset: int) -> Stream:
        """The bytes of an object from an offset on, of that version and no other."""
        ...

    def put(self, key: str, content: bytes, replaces_version: str | None, sha256: str | None = None) -> None:
        """Write a small object in one step, with its checksum, in place of ``replaces_version``
        (``None``: of nothing).

        Raises:
            LostPartError: the object has another version by now.
        """
        ...

    def upload(self, key: str, size: int, replaces_version: str | None, sha256: str | None) -> Upload:
        """Begin an upload of ``size`` bytes that replaces ``replaces_version`` (``None``: nothing). The version is
        checked when it is committed."""
        ...

    def abort_uploads(self, prefix: str) -> None:
        """Remove uploads that were begun below a prefix and never ended, whoever began them."""
        ...
