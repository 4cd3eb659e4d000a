"""The folder that a model is loaded into, on a disk or a network volume.

What is relied on: a file that is renamed inside the volume replaces the old one in one step (local file systems, NFS,
CephFS and the like; on object storage behind FUSE it is a copy and then a deletion, and the manifest is still written
last). Locks are used where they work, only to tell whose leftovers are whose: without them several loaders at once
stay correct, and a part whose owner is unknown is removed by whoever finishes.

Loaders of one revision may share a folder, those of two must not: the first one claims it, in a file that only one of
them can create (O_EXCL: local file systems, NFS from version 3 on, CephFS, SMB). The claim stays, also in the complete
copy, where the manifest says the same: a claim that is never removed cannot be removed too early. On storage where two
can create the same file (objects behind FUSE), loaders of two revisions that begin in the same moment may both go on:
one whose manifest was replaced fails, and ``verify --deep`` finds what the other has left.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from llm_serving_load.errors import LoadError, LostPartError, MissingError, TemporaryError
from llm_serving_load.manifest import NAME, Manifest, ManifestError
from llm_serving_load.targets.target import CLAIM

PARTS = ".parts"
"""Below the target: files that are being written."""

_CLAIM_BYTES = 1024
_CLAIM_SECONDS = 5.0
"""A claim that is still without its line after so long was left by a loader that was killed while it made it."""

_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_IGNORED = {"lost+found"}
_WRITE_BACK = 4 * 1024 * 1024
"""So little that the disk is never idle while a processor copies: with 64 MiB a load took a fifth longer."""
_WRITE = 128 * 1024
"""Bytes of one write. The kernel takes memory in pieces of that size; with 512 KiB it took up to three times as long on
a virtual machine whose memory is fragmented or was lent back to its host, and 64 KiB cost a tenth more everywhere."""
_TEMPORARY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOTCONN}
"""What a volume answers that went away, or whose server did."""


class FolderTarget:
    """A folder. Every error of the file system becomes a :class:`LoadError` that says what to do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The folder, as it was given."""
        return f"--target {str(self._folder)!r}"

    def manifest(self) -> Manifest | None:
        """The manifest; a damaged one counts as none."""
        try:
            with self.explained():
                content = (self._folder / NAME).read_bytes()
            return Manifest.from_json(content)
        except (MissingError, ManifestError):
            return None

    def sizes(self) -> dict[str, int]:
        """By a walk; hidden folders and what a file system puts there itself are left out."""
        sizes: dict[str, int] = {}
        with self.explained():
            for folder, folders, files in os.walk(self._folder, onerror=_raise_unless_missing):
                folders[:] = [name for name in folders if not name.startswith(".") and name not in _IGNORED]
                for file in files:
                    path = Path(folder, file)
                    name = path.relative_to(self._folder).as_posix()
                    if name != NAME and not file.startswith("."):
                        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, or a link to nothing
                            sizes[name] = path.stat().st_size
        return sizes

    def prepare(self) -> None:
        """Make the folder; remove parts whose owner is known to be dead."""
        self._make_folder(self._folder)
        self._remove_parts(every=False)

    def free(self) -> int:
        """Bytes that are free for this user."""
        with self.explained():
            volume = os.statvfs(self._folder)
        return volume.f_bavail * volume.f_frsize

    def claim(self, owner: str) -> str:
        """Make the claim where there is none; whose it is. A killed loader's claim is as good as a living one's."""
        path = self._folder / CLAIM
        with self.explained():
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
            except FileExistsError:
                return _claimed(path) or self._take_over(path, owner)
            try:
                _lock(descriptor)  # against one who takes the claim over while it has no line yet
                if not _line(descriptor):
                    _write_line(descriptor, owner)
            finally:
                os.close(descriptor)
            _sync_folder(self._folder)
        return self._settled(path)

    def _take_over(self, path: Path, owner: str) -> str:
        """Write the line of a claim that was left without one."""
        with self.explained():
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if not _lock(descriptor):
                    raise LoadError(
                        f"{self.where}: {path} is empty, and on a volume without locks nobody can tell whose it is; "
                        "where no loader runs, remove it and load again"
                    )
                if not _line(descriptor):
                    _write_line(descriptor, owner)
            finally:
                os.close(descriptor)
        return self._settled(path)

    def _settled(self, path: Path) -> str:
        with self.explained():
            owner = _claimed(path)
        if owner is None:
            raise LoadError(f"{self.where}: {path} was emptied while it was made: something else writes there; stop it")
        return owner

    def checksums(self, name: str, size: int, *, deep: bool = False) -> Mapping[str, str] | None:
        """The SHA-256 of a file of the right size, which is read."""
        try:
            with self.explained():
                same_size = (self._folder / name).stat().st_size == size
        except MissingError:
            return None
        return {"sha256": self.sha256_of(name)} if same_size else None

    def open(self, name: str, offset: int) -> "_FolderStream":
        """The file from an offset on."""
        return _FolderStream(self, self._folder / name, offset)

    def sha256_of(self, name: str) -> str:
        """Hash of the content."""
        with self.explained(), open(self._folder / name, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def part(self, name: str, size: int = 0, sha256: str | None = None) -> "FolderPart":
        """A part with a name of its own, however many loaders write the same file."""
        self._make_folder((self._folder / name).parent)
        parts = self._folder / PARTS
        path = parts / f"{name.replace('/', '__')}.{secrets.token_hex(8)}"
        for attempt in range(10):
            # A loader that finishes removes the folder of parts.
            self._make_folder(parts)
            try:
                with self.explained():
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
                return FolderPart(self, path, self._folder / name, descriptor)
            except MissingError:
                if attempt == 9:
                    raise
        raise AssertionError("unreachable")

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, then remove every part: what others still write is there already."""
        while True:
            part = self.part(NAME)
            try:
                part.write(memoryview(manifest.to_json()))
                part.commit()
                break
            except LostPartError:
                continue
            finally:
                part.discard()
        self._remove_parts(every=True)

    @contextlib.contextmanager
    def explained(self, path: Path | None = None) -> Iterator[None]:
        """The file system's errors as messages; of ``path``, where they do not say themselves of what."""
        try:
            yield
        except FileNotFoundError as error:
            raise MissingError(f"{self.where}: {error.filename} is missing") from error
        except OSError as error:
            error.filename = error.filename or path
            raise self.explain(error) from error

    def explain(self, error: OSError) -> LoadError:
        """A message for an error of the file system."""
        rights = f"user {os.geteuid()} may not write there; change the owner (fsGroup), or name another folder"
        advice = {
            errno.ENOSPC: "the volume is full; make it larger or free space, and load again",
            errno.EDQUOT: "the quota of the volume is used up; raise it or free space, and load again",
            errno.EROFS: "the volume is mounted read-only; mount it for writing, or name another folder",
            errno.EACCES: rights,
            errno.EPERM: rights,
            errno.ENOTDIR: "a part of the path is a file; name a folder",
            errno.EEXIST: "a part of the path is a file; name a folder",
            errno.EIO: "the volume fails to read or write; look at the node's kernel log",
            errno.ESTALE: "the network volume went away; mount it again, and load again",
        }
        name = error.filename if error.filename is not None else self._folder
        what = advice.get(error.errno or 0, f"{error.strerror or error}; see whether the volume is in order")
        kind = TemporaryError if error.errno in _TEMPORARY else LoadError
        return kind(f"{self.where}: {name}: {what}")

    def _make_folder(self, folder: Path) -> None:
        with self.explained():
            missing = [path for path in (folder, *folder.parents) if not path.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                if _is_occupied(folder):
                    raise
            for path in missing:
                with contextlib.suppress(OSError):  # a volume whose modes are fixed by its mount
                    path.chmod(_FOLDER_MODE)

    def _remove_parts(self, *, every: bool) -> None:
        parts = self._folder / PARTS
        try:
            paths = list(parts.iterdir())
        except OSError:
            return
        for path in paths:
            if every or _is_orphan(path):
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):  # another loader writes there
            parts.rmdir()


def _is_occupied(path: Path) -> bool:
    """Whether something other than a folder is there. Nothing may be: a loader that finishes removes the folder of
    parts, and whoever then finds no place for a part makes it again."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return path.is_symlink()


class _FolderStream:
    """A file that is there, unbuffered: the reader brings its own large buffer."""

    def __init__(self, target: FolderTarget, path: Path, offset: int) -> None:
        self._target = target
        self._path = path
        with target.explained():
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115  close() closes it
            self._file.seek(offset)

    def readinto(self, buffer: memoryview, /) -> int:
        with self._target.explained(self._path):
            return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()


class FolderPart:
    """A file below ``.parts`` that takes its place in one step. The lock on it says that its owner lives."""

    def __init__(self, target: FolderTarget, path: Path, place: Path, descriptor: int) -> None:
        self._target = target
        self._path = path
        self._place = place
        self._descriptor: int | None = descriptor
        self._written = self._started = 0
        with contextlib.suppress(OSError):  # a volume without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # a volume whose modes are fixed by its mount
            os.fchmod(descriptor, _FILE_MODE)  # whatever the umask says

    def write(self, block: memoryview) -> None:
        """Append the whole block."""
        assert self._descriptor is not None
        try:
            while block:
                count = os.write(self._descriptor, block[:_WRITE])
                block = block[count:]
                self._written += count
            if self._written - self._started >= _WRITE_BACK:
                self._write_back(self._descriptor)
        except OSError as error:
            error.filename = str(self._place)
            raise self._target.explain(error) from error

    def _write_back(self, descriptor: int) -> None:
        """Let the disk begin, so that little is left to wait for at the end. The advice starts to write what is dirty
        and returns; what is not yet written stays in memory (Linux, mm/fadvise.c)."""
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, self._started, self._written - self._started, os.POSIX_FADV_DONTNEED)
        self._started = self._written

    def commit(self) -> None:
        """To the disk, then to its place: after a power cut the file is whole or not there."""
        assert self._descriptor is not None
        try:
            os.fsync(self._descriptor)
            self._path.rename(self._place)
            _sync_folder(self._place.parent)
        except FileNotFoundError:
            raise LostPartError(self._place.name) from None
        except OSError as error:
            error.filename = str(self._place)
            raise self._target.explain(error) from error
        finally:
            self._close()

    def discard(self) -> None:
        """Remove the part where it is still one."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where the volume knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _claimed(path: Path) -> str | None:
    """Whose claim it is; ``None`` where nobody writes it either."""
    end = time.monotonic() + _CLAIM_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            owner = _line(descriptor)
        finally:
            os.close(descriptor)
        if owner or time.monotonic() > end:
            return owner
        time.sleep(0.05)


def _line(descriptor: int) -> str | None:
    """The claim's line, once it is whole."""
    line, end, _ = os.pread(descriptor, _CLAIM_BYTES, 0).partition(b"\n")
    return line.decode(errors="replace") if end else None


def _write_line(descriptor: int, owner: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode() + b"\n", 0)
    with contextlib.suppress(OSError):  # a volume whose modes are fixed by its mount
        os.fchmod(descriptor, _FILE_MODE)  # whatever the umask says
    os.fsync(descriptor)


def _lock(descriptor: int) -> bool:
    """Wait for the file's lock; whether the volume has locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_orphan(path: Path) -> bool:
    """Whether nobody writes the part any more. Locks end with the process that holds them."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # its owner lives, or nobody can say
    finally:
        os.close(descriptor)
    return True
