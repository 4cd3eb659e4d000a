"""Models in a bucket: ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``, laid out as a folder is: ``<org>/<name>/
<revision>/files`` below the prefix.

Where a manifest lies among the files it promises their hashes; else the store's own checksums are compared.
"""

from concurrent.futures import ThreadPoolExecutor

from llm_serving_load.errors import LoadError
from llm_serving_load.manifest import NAME as MANIFEST
from llm_serving_load.manifest import Manifest, ManifestError
from llm_serving_load.sources.source import SourceFile, shown
from llm_serving_load.stores import BucketPath, ObjectStore, StoredObject, bucket_path_of, open_store
from llm_serving_load.streams import Stream

_REQUESTS_AT_ONCE = 16


class BucketSource:
    """A model in a bucket."""

    def __init__(self, store: ObjectStore, path: str, repository: str, revision: str) -> None:
        self._store = store
        self._root = f"{path}/" if path else ""
        self._repository = repository
        self._revision = revision
        self._prefix = f"{self._root}{repository}/{revision}/"
        self._objects: dict[str, StoredObject] = {}

    @classmethod
    def at(cls, url: str, repository: str, revision: str) -> "BucketSource":
        """The model below the prefix that a URL names.

        Whoever asks a source asks again himself, so each request is made once.

        Raises:
            LoadError: the URL is none of a bucket, or the store's client is missing or has no credentials.
        """
        try:
            place: BucketPath = bucket_path_of(url)
        except ValueError as error:
            raise LoadError(f"--source {url!r}: {error}") from None
        return cls(open_store(place, None), place.path, repository, revision)

    @property
    def where(self) -> str:
        """The model's prefix as a URL."""
        return f"{self._store.where}/{self._prefix.rstrip('/')}"

    def files(self) -> list[SourceFile]:
        """The objects below the prefix; hidden names do not count."""
        names = {
            stored.key.removeprefix(self._prefix): stored
            for stored in self._store.list_objects(self._prefix)
            if not stored.key.endswith("/")  # the folder itself, as some programs store it
        }
        if not names:
            raise self._absent()
        promised = self._promised(names)
        visible = {name: stored for name, stored in names.items() if not _is_hidden(name)}
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE, "look") as threads:
            described = list(threads.map(self._with_checksums, visible.values()))
        self._objects = dict(zip(visible, described, strict=True))
        return [
            SourceFile(name, stored.size, promised.get(name) or stored.checksums.get("sha256"), stored.checksums)
            for name, stored in self._objects.items()
        ]

    def open(self, file: SourceFile, offset: int = 0) -> Stream:
        """The object from an offset on, as it was when it was listed."""
        return self._store.open(self._objects[file.name], offset)

    def _with_checksums(self, stored: StoredObject) -> StoredObject:
        if stored.checksums:
            return stored
        current = self._store.head(stored.key)
        if current is None:
            raise LoadError(
                f"{self._store.where}/{stored.key}: it was removed while it was listed; stop who removes it"
            )
        return current

    def _promised(self, names: dict[str, StoredObject]) -> dict[str, str]:
        """Hashes by the manifest of whoever put the model there."""
        if MANIFEST not in names:
            return {}
        try:
            manifest = Manifest.from_json(self._store.read(names[MANIFEST].key) or b"")
        except ManifestError:
            return {}  # somebody else's file of that name
        if (manifest.repository, manifest.revision) != (self._repository, self._revision):
            raise LoadError(
                f"{self.where}/{MANIFEST}: it is of {manifest.repository} at {manifest.revision}; put the right model "
                "there"
            )
        for entry in manifest.files:
            stored = names.get(entry.name)
            if stored is None or stored.size != entry.size:
                state = "is missing" if stored is None else f"has {stored.size} bytes"
                raise LoadError(
                    f"{self.where}/{entry.name}: it {state}, and {MANIFEST} promises {entry.size} bytes; put the whole "
                    "model there"
                )
        return {entry.name: entry.sha256 for entry in manifest.files}

    def _absent(self) -> LoadError:
        """Which part of the path does not exist."""
        revisions = self._store.folders(f"{self._root}{self._repository}/")
        place = f"{self._store.where}/{self._root}".rstrip("/")
        if revisions:
            return LoadError(
                f"--revision {self._revision!r}: {place}/{self._repository} does not have it; it has "
                f"{shown(revisions, 'no revision')}"
            )
        models = [
            f"{org}/{name}"
            for org in self._store.folders(self._root)
            for name in self._store.folders(f"{self._root}{org}/")
        ]
        return LoadError(
            f"--repository {self._repository!r}: {place} does not have it; it has {shown(models, 'no model')} (models "
            "lie in <org>/<name>/<revision>)"
        )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
