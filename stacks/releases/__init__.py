"""Model releases: immutable bundles, one file each (``<model>/<version>.yaml``), the one place that pins engine and
model versions.

Files are append-only. ``releases.lock.yaml`` holds the hash of every one; a file that no longer matches its hash is
refused wherever releases are read, so that a stack can never serve something else under a version it already served.
"""

from stacks.releases.store import LOCK, RELEASES, Release, lock_releases, read_releases

__all__ = ["LOCK", "RELEASES", "Release", "lock_releases", "read_releases"]
