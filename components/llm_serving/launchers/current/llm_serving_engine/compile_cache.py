"""The engine's compile cache as one archive: saved by the Job that warms it up, unpacked by every instance that serves.

vLLM writes into its cache folder also when all is in it already (0.32: ``modelinfos``, ``inductor_cache``, Triton's
kernels), and a cache is code that the engine runs. So instances mount the archive read-only and unpack it into a folder
of their own. Owns the archive: ``cache-*.tar``, a new name each time, and, written last, ``cache.json`` with its name
and digest, so that half an archive is never used; what is unpacked is held against the digest before the engine can
find it. Leaves the key to its users: one folder for each release and kind of GPU.
"""

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

VARIABLE = "VLLM_CACHE_ROOT"
"""vLLM's variable for its cache folder; TORCHINDUCTOR_CACHE_DIR and TRITON_CACHE_DIR it sets itself, to folders in
it (compilation/compiler_interface.py, compilation/decorators.py)."""

ARCHIVES, MANIFEST = "cache-*.tar", "cache.json"
_UNPACKED = ".unpacked"
"""Below the engine's cache folder, and so on its volume: files that are not known to be whole yet."""
_CHUNK = 4 * 1024 * 1024


class CacheError(Exception):
    """The cache cannot be read or written; the text says why."""


def cache_root(environment: Mapping[str, str]) -> Path:
    """The engine's cache folder: the one of its variable, else vLLM's default."""
    named = environment.get(VARIABLE)
    if named:
        return Path(named).expanduser()
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
        archive = folder / ARCHIVES.replace("*", secrets.token_hex(8))
        try:
            writer = _write(archive, root, files)
        except OSError:
            with contextlib.suppress(OSError):
                archive.unlink()
            raise
        # Until now an older archive was there to be read. A mounted bucket may have no rename, and must not be asked to
        # write over a file: in between there is no manifest, and who starts then goes without a cache.
        (folder / MANIFEST).unlink(missing_ok=True)
        content = {
            "archive": archive.name,
            "sha256": writer.digest.hexdigest(),
            "bytes": writer.written,
            "files": len(files),
        }
        (folder / MANIFEST).write_text(json.dumps(content) + "\n")
        for older in folder.glob(ARCHIVES):
            if older != archive:
                older.unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(f"{folder}: the compile cache cannot be saved: {error.strerror or error}") from error
    return writer.written


def _write(archive: Path, root: Path, files: list[Path]) -> "_HashingWriter":
    with open(archive, "xb") as file:
        writer = _HashingWriter(file)
        # A stream, written from its first byte to its last: a mounted bucket takes nothing else.
        with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in files:
                tar.add(path, arcname=str(path.relative_to(root)), recursive=False, filter=_anonymous)
        file.flush()
        os.fsync(file.fileno())
    return writer


def restore(folder: Path, root: Path) -> int | None:
    """Unpack the archive in ``folder`` into ``root``; return its bytes, ``None`` where there is none. No file gets its
    place below ``root`` before all of them are written and have the right digest.

    Raises:
        CacheError: it is damaged or cannot be unpacked.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text())
        expected, archive = content["sha256"], folder / Path(content["archive"]).name
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheError(f"{folder / MANIFEST}: it cannot be read: {error}") from error
    try:
        unpacked = root / _UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)  # of a start that was killed
        try:
            unpacked.mkdir(parents=True)
            with open(archive, "rb") as file:
                reader = _HashingReader(file)
                with tarfile.open(fileobj=reader, mode="r|", bufsize=_CHUNK) as tar:
                    for entry in tar:
                        _unpack(tar, entry, unpacked)
                reader.rest()
            if (digest := reader.digest.hexdigest()) != expected:
                raise CacheError(f"{archive}: its digest is {digest}, and {MANIFEST} says {expected}")
            _move(unpacked, root)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    # What damaged headers make of tarfile: besides its own errors ValueError and EOFError.
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise CacheError(f"{archive}: it cannot be unpacked into {root}: {error}") from error
    return reader.size


def _move(unpacked: Path, root: Path) -> None:
    """Give each file its place, also where an earlier start of the container has left files."""
    for path in sorted(unpacked.rglob("*")):
        if path.is_file():
            place = root / path.relative_to(unpacked)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


def _unpack(tar: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    """Write one file below ``root``. (``extractall`` has filters, but Debian 12's Python 3.11.2 has not.)"""
    name = PurePosixPath(entry.name)
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise CacheError(f"{ARCHIVES}: it holds {entry.name!r}, which is no file of a cache")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(entry.mode & 0o755 | 0o600)


class _HashingWriter(io.RawIOBase):
    """RequestCounts and digests what is written to a file."""

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


class _HashingReader(io.RawIOBase):
    """RequestCounts and digests what is read from a file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        content = self._file.read(size)
        self.digest.update(content)
        self.size += len(content)
        return content

    def rest(self) -> None:
        """Read to the end: tarfile stops where the last entry does."""
        while self.read(_CHUNK):
            pass


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
