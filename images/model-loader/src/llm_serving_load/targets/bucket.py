"""The prefix in a bucket that a model is loaded into.

What is relied on: an object is there whole or not at all, a read after a write sees it, and a write can be made to
depend on what is there (``If-None-Match`` and ``If-Match`` on S3, ``ifGenerationMatch`` on Google's). So the claim has
one winner, and of several loaders that finish the same file one writes it, and the others find it.

An upload that its loader did not end is no object. On S3 its parts cost money until somebody removes them: a loader
that is told to stop does, and whoever finishes removes those of loaders that were killed.
"""

import contextlib
import hashlib
import time
from collections.abc import Mapping

from llm_serving_load.digests import SHA256
from llm_serving_load.errors import LoadError, LostPartError, TemporaryError
from llm_serving_load.manifest import NAME, Manifest, ManifestError
from llm_serving_load.stores import ObjectStore, StoredObject
from llm_serving_load.streams import Stream
from llm_serving_load.targets.target import CLAIM, Part

_SMALL = 8 * 1024 * 1024
"""Bytes up to which a file is collected and written in one request."""
_BLOCK = 1024 * 1024
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
"""S3 refuses a write while another one to the same key is not over (409 ConditionalRequestConflict), and then a read
may find nothing yet."""


class BucketTarget:
    """A prefix in a bucket."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store = store
        self._path = path
        self._versions: dict[str, str | None] = {}

    @property
    def where(self) -> str:
        """The prefix, as it was given."""
        return f"--target '{self._store.where}/{self._path}'"

    def manifest(self) -> Manifest | None:
        """The manifest; a damaged one counts as none."""
        content = self._store.read(self._key(NAME))
        if content is None:
            self._store.folders(
                self._key("")
            )  # Google's store does not say whether the object or the bucket is missing
            return None
        try:
            return Manifest.from_json(content)
        except ManifestError:
            return None

    def sizes(self) -> dict[str, int]:
        """By one listing."""
        sizes = {entry.key.removeprefix(self._key("")): entry.size for entry in self._store.list_objects(self._key(""))}
        return {
            name: size
            for name, size in sizes.items()
            if name != NAME and not name.endswith("/") and not any(part.startswith(".") for part in name.split("/"))
        }

    def prepare(self) -> None:
        """Nothing: a prefix needs no making, and unfinished uploads may be of a loader that lives."""

    def free(self) -> None:
        """A bucket is never full."""

    def claim(self, owner: str) -> str:
        """Write the claim where there is none; whose it is."""
        key = self._key(CLAIM)
        for attempt in range(_ATTEMPTS):
            time.sleep(attempt * _PAUSE_SECONDS)
            with contextlib.suppress(LostPartError):
                self._store.put(key, owner.encode() + b"\n", replaces_version=None)
                return owner
            content = self._store.read(key)
            if content is not None:
                return content.decode(errors="replace").strip()
        raise TemporaryError(
            f"{self.where}: {CLAIM} can neither be made nor read: others make or remove it; load again"
        )

    def checksums(self, name: str, size: int, *, deep: bool = False) -> Mapping[str, str] | None:
        """What the store knows of the object; with ``deep`` the SHA-256 of its bytes, which are read."""
        stored = self._head(name)
        if stored is None or stored.size != size:
            return None
        return {SHA256: self._sha256(stored)} if deep else stored.checksums

    def open(self, name: str, offset: int) -> Stream:
        """The object from an offset on, as it is now."""
        return self._store.open(self._existing(name), offset)

    def sha256_of(self, name: str) -> str:
        """Hash of the content, which is read."""
        return self._sha256(self._existing(name))

    def _existing(self, name: str) -> StoredObject:
        stored = self._store.head(self._key(name))
        if stored is None:
            raise LoadError(f"{self.where}: {name} is missing")
        return stored

    def _sha256(self, stored: StoredObject) -> str:
        digest, buffer = hashlib.sha256(), memoryview(bytearray(_BLOCK))
        stream = self._store.open(stored, 0)
        try:
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
        finally:
            stream.close()
        return digest.hexdigest()

    def part(self, name: str, size: int, sha256: str | None) -> Part:
        """An upload that replaces what :meth:`checksums` has seen, and nothing newer."""
        replaces_version = self._versions[name] if name in self._versions else self._version(name)
        key = self._key(name)
        if size <= _SMALL:
            return _SmallPart(self._store, key, replaces_version)
        return self._store.upload(key, size, replaces_version, sha256)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, then remove every unfinished upload: what others still write is there already."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(LostPartError):
                self._store.put(self._key(NAME), manifest.to_json(), self._version(NAME))
                break
        else:
            raise TemporaryError(f"{self.where}: {NAME} is written again and again: something else writes there")
        # Without the right to list uploads they stay until the bucket's own rule removes them.
        with contextlib.suppress(LoadError):
            self._store.abort_uploads(self._key(""))

    def _key(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _head(self, name: str) -> StoredObject | None:
        stored = self._store.head(self._key(name))
        self._versions[name] = None if stored is None else stored.version
        return stored

    def _version(self, name: str) -> str | None:
        stored = self._head(name)
        return None if stored is None else stored.version


class _SmallPart:
    """A file that is collected and then written in one request."""

    def __init__(self, store: ObjectStore, key: str, replaces_version: str | None) -> None:
        self._store = store
        self._key = key
        self._replaces_version = replaces_version
        self._content = bytearray()

    def write(self, block: memoryview) -> None:
        """Collect."""
        self._content += block

    def commit(self) -> None:
        """Write; the store compares the checksum that comes with it."""
        content = bytes(self._content)
        self._store.put(self._key, content, self._replaces_version, hashlib.sha256(content).hexdigest())

    def discard(self) -> None:
        """Nothing was written."""
        self._content.clear()
