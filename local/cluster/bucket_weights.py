"""Weights in the buckets of the local clouds, as far as pods need to know: which revision lies under which prefix.

A file a bucket, written when a loader's Job has finished, or by ``python -m local weights`` where somebody else brings
the weights; it goes with the bucket.
"""

from dataclasses import dataclass
from pathlib import Path

from stacks.files import file_locked, read_json, write_json


@dataclass(frozen=True)
class BucketWeights:
    """The files of all buckets, in one folder."""

    folder: Path

    def find(self, bucket: str, prefix: str) -> str | None:
        """The revision under a prefix, or ``None`` where no weights are."""
        return (read_json(self._file(bucket)) or {}).get(prefix)

    def prefixes(self, bucket: str) -> list[str]:
        """Where weights are."""
        return sorted(read_json(self._file(bucket)) or {})

    def put(self, bucket: str, prefix: str, revision: str) -> bool:
        """Weights of a revision are under a prefix from now on; say whether that is news."""
        file = self._file(bucket)
        with file_locked(file.with_suffix(".lock")):
            known = read_json(file) or {}
            if known.get(prefix) == revision:
                return False
            write_json(file, {**known, prefix: revision})
            return True

    def forget(self, bucket: str) -> None:
        """The bucket is gone, with what was in it."""
        for suffix in (".json", ".lock"):
            self._file(bucket).with_suffix(suffix).unlink(missing_ok=True)

    def _file(self, bucket: str) -> Path:
        return self.folder / f"{bucket}.json"
