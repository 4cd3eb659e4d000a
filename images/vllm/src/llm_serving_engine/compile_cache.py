"""The engine's compile cache as one archive: saved by the Job that warms it up, unpacked by every instance that serves.

vLLM writes into its cache folder also when all is in it already (0.32: ``modelinfos``, ``inductor_cache``, Triton's
kernels), and a cache is code that the engine runs. So instances mount the archive read-only and unpack it into a folder
of their own. Owns the archive: ``cache.tar`` and, written last, ``cache.json`` with its digest, so that half an archive
is never used. Leaves the key to its users: one folder for each release and kind of GPU.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

VARIABLE = "VLLM_CACHE_ROOT"
"""vLLM's variable for its cache folder; TORCHINDUCTOR_CACHE_DIR and TRITON_CACHE_DIR it sets itself, to folders in
it (compilation/compiler_interface.py, compilation/decorators.py)."""

ARCHIVE, MANIFEST = "cache.tar", "cache.json"
_CHUNK = 4 * 1024 * 1024


class CacheError(Exception):
    """The cache cannot be read or written; the text says why."""


def cache_root(environment: Mapping[str, str]) -> Path:
    """The engine's cache folder: the one of its variable, else vLLM's default."""
    given = environment.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    home = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/tmp")) / ".cache"
    return Path(home) / "vllm"


def save(root: Path, folder: Path) -> int:
    """Archive what is below ``root`` into ``folder``; return the archive's bytes.

    Raises:
        CacheError: there is nothing to save, or the folder cannot be written to.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        raise CacheError(f"{root}: the engine left nothing there to save")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The manifest of an older archive goes first: while the new one is written there is none to be trusted.
        (folder / MANIFEST).unlink(missing_ok=True)
        with open(folder / ARCHIVE, "wb") as file:
            writer = _Digesting(file)
            # A stream, written from its first byte to its last: a mounted bucket takes nothing else.
            with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in files:
                    tar.add(path, arcname=str(path.relative_to(root)), recursive=False, filter=_anonymous)
            file.flush()
            os.fsync(file.fileno())
        content = {"sha256": writer.digest.hexdigest(), "bytes": writer.written, "files": len(files)}
        (folder / MANIFEST).write_text(json.dumps(content) + "\n")
    except OSError as error:
        raise CacheError(f"{folder}: the compile cache cannot be saved: {error.strerror or error}") from error
    return writer.written


def restore(folder: Path, root: Path) -> int | None:
    """Unpack the archive in ``folder`` into ``root``; return its bytes, ``None`` where there is none.

    Raises:
        CacheError: it is damaged or cannot be unpacked.
    """
    try:
        expected = json.loads((folder / MANIFEST).read_text())["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheError(f"{folder / MANIFEST}: it cannot be read: {error}") from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(folder / ARCHIVE, "rb") as file:
            digest, size = _digest(file)
            if digest != expected:
                raise CacheError(f"{folder / ARCHIVE}: its digest is {digest}, and {MANIFEST} says {expected}")
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for entry in tar:
                    _unpack(tar, entry, root)
    except (OSError, tarfile.TarError) as error:
        raise CacheError(f"{folder / ARCHIVE}: it cannot be unpacked into {root}: {error}") from error
    return size


def _unpack(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    """Write one file below ``root``. (``extractall`` has filters, but Debian 12's Python 3.11.2 has not.)"""
    name = PurePosixPath(entry.name)
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise CacheError(f"{ARCHIVE}: it holds {entry.name!r}, which is no file of a cache")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(entry.mode & 0o755 | 0o600)


class _Digesting(io.RawIOBase):
    """Counts and digests what is written to a file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()
        self.written = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it."""
        self.digest.update(data)
        self.written += len(data)
        return self._file.write(data)


def _digest(file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
