"""Models in a bucket: ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``, laid out as a folder is: ``<org>/<name>/
<revision>/files`` below the prefix.

Where a manifest lies among the files it promises their hashes; else the store's own checksums are compared.
"""

from concurrent.futures import ThreadPoolExecutor

from llm_serving_load.errors import LoadError
from llm_serving_load.manifest import NAME as MANIFEST
from llm_serving_load.manifest import Manifest, ManifestError
from llm_serving_load.sources.source import SourceFile, shown
from llm_serving_load.stores import ObjectStore, Place, Stored, open_store, place_of
from llm_serving_load.streams import Stream

_ATTEMPTS = 1
"""The client gives up at once, because whoever asks a source asks again himself, and can be told to stop."""
_AT_ONCE = 16


class BucketSource:
    """A model in a bucket."""

    def __init__(self, store: ObjectStore, path: str, repository: str, revision: str) -> None:
        self._store = store
        self._root = f"{path}/" if path else ""
        self._repository = repository
        self._revision = revision
        self._prefix = f"{self._root}{repository}/{revision}/"
        self._found: dict[str, Stored] = {}

    @classmethod
    def at(cls, url: str, repository: str, revision: str) -> "BucketSource":
        """The model below the prefix that a URL names.

        Raises:
            LoadError: the URL is none of a bucket, or the store's client is missing or has no credentials.
        """
        try:
            place: Place = place_of(url)
        except ValueError as error:
            raise LoadError(f"--source {url!r}: {error}") from None
        return cls(open_store(place, _ATTEMPTS), place.path, repository, revision)

    @property
    def where(self) -> str:
        """The model's prefix as a URL."""
        return f"{self._store.where}/{self._prefix.rstrip('/')}"

    def files(self) -> list[SourceFile]:
        """The objects below the prefix; hidden names do not count."""
        names = {
            found.key.removeprefix(self._prefix): found
            for found in self._store.below(self._prefix)
            if not found.key.endswith("/")  # the folder itself, as some programs store it
        }
        if not names:
            raise self._absent()
        promised = self._promised(names)
        visible = {name: found for name, found in names.items() if not _is_hidden(name)}
        with ThreadPoolExecutor(_AT_ONCE, "look") as threads:
            looked = list(threads.map(self._looked, visible.values()))
        self._found = dict(zip(visible, looked, strict=True))
        return [
            SourceFile(name, found.size, promised.get(name) or found.checksums.get("sha256"), found.checksums)
            for name, found in self._found.items()
        ]

    def open(self, file: SourceFile, offset: int = 0) -> Stream:
        """The object from an offset on, as it was when it was listed."""
        return self._store.open(self._found[file.name], offset)

    def _looked(self, found: Stored) -> Stored:
        if found.checksums:
            return found
        there = self._store.look(found.key)
        if there is None:
            raise LoadError(f"{self._store.where}/{found.key}: it was removed while it was listed; stop who removes it")
        return there

    def _promised(self, names: dict[str, Stored]) -> dict[str, str]:
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
            found = names.get(entry.name)
            if found is None or found.size != entry.size:
                there = "is missing" if found is None else f"has {found.size} bytes"
                raise LoadError(
                    f"{self.where}/{entry.name}: it {there}, and {MANIFEST} promises {entry.size} bytes; put the whole "
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
