"""Whether a copy is complete: what its manifest names is there, with the right sizes, and nothing else is."""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from llm_serving_load.manifest import Entry, Manifest
from llm_serving_load.targets import Target


def unexpected_files(sizes: Mapping[str, int], names: Iterable[str]) -> list[str]:
    """Files other than these, which an engine might read."""
    return sorted(sizes.keys() - set(names))


def find_damage(target: Target, manifest: Manifest, *, deep: bool = False) -> str | None:
    """What is wrong with the copy; ``None`` where it is complete.

    Quick: one look at the names and sizes, however large the model is. ``deep`` also reads every file and compares its
    SHA-256.
    """
    sizes = target.sizes()
    for entry in manifest.files:
        size = sizes.get(entry.name)
        if size is None:
            return f"{entry.name} is missing"
        if size != entry.size:
            return f"{entry.name} has {size} bytes instead of {entry.size}"
    extra = unexpected_files(sizes, (entry.name for entry in manifest.files))
    if extra:
        return f"{extra[0]} does not belong to the model"
    return _changed(target, manifest.files) if deep else None


def _changed(target: Target, files: tuple[Entry, ...]) -> str | None:
    with ThreadPoolExecutor(min(len(files), 2 * (os.cpu_count() or 1)), "hash") as threads:
        for entry, sha256 in zip(files, threads.map(lambda entry: target.sha256_of(entry.name), files), strict=True):
            if sha256 != entry.sha256:
                return f"the content of {entry.name} does not match its SHA-256"
    return None
