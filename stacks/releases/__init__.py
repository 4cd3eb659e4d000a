"""Model releases: immutable bundles, one file each (``<model>/<version>.yaml``), the one place that pins engine and
model versions.

Files are append-only. ``releases.lock.yaml`` holds the hash of every one; a file that no longer matches its hash is
refused wherever releases are read, so that a stack can never serve something else under a version it already served.
Where somebody edits file and lock together, the repository's history tells (``history``).
"""

from stacks.releases.adding import Added, add_release
from stacks.releases.from_model import ReadModel
from stacks.releases.history import Verified, verify_releases
from stacks.releases.store import LOCK, RELEASES, Release, display_path, lock_releases, read_releases
from stacks.releases.versions import precedence

__all__ = [
    "LOCK",
    "RELEASES",
    "Added",
    "ReadModel",
    "Release",
    "Verified",
    "add_release",
    "display_path",
    "lock_releases",
    "precedence",
    "read_releases",
    "verify_releases",
]
