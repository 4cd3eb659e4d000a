"""Brings a model from a source into a target: checked, in parallel, and complete or not there."""

import hashlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from llm_serving_load.checks import check, selected
from llm_serving_load.errors import LoadError, StoppedError
from llm_serving_load.manifest import Entry, Manifest
from llm_serving_load.progress import Progress
from llm_serving_load.sizes import human
from llm_serving_load.sources import Source, SourceFile
from llm_serving_load.target import LostPartError, Target

_BLOCK = 1024 * 1024
"""Fits into the cache of a core, so that what was just read is hashed and written from there."""
_ATTEMPTS = 3
_PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Model:
    """What is loaded: ``org/name`` at a commit, and the URL that it was asked from."""

    source: str
    repository: str
    revision: str


class Loader:
    """Loads one model into one target, ``workers`` files at once.

    With ``hashes`` it also reads a copy that is there, and repairs what has changed.
    """

    def __init__(
        self,
        model: Model,
        target: Target,
        say: Callable[[str], None],
        stop: threading.Event,
        workers: int,
        *,
        hashes: bool = False,
    ) -> None:
        self._model = model
        self._target = target
        self._workers = workers
        self._say = say
        self._stop = stop
        self._hashes = hashes

    def load(self, open_source: Callable[[], Source]) -> Manifest:
        """Load the model where it is not there yet; the manifest of the complete copy.

        The source is opened only where something has to be loaded.

        Raises:
            LoadError: it cannot be loaded.
            StoppedError: ``stop`` was set; what is complete stays, and the next run goes on from there.
        """
        there = self._target.manifest()
        if there is not None:
            self._refuse_other(there)
            damage = self._target.damage(there, hashes=self._hashes)
            if damage is None:
                self._say(f"already there: {len(there.files)} files, {human(there.size)}")
                return there
            self._say(f"the copy is damaged, {damage}: loading what is wrong again")
        source = open_source()
        files = selected(source.files())
        check(source, files)
        self._refuse_strangers(files)
        self._target.prepare()
        self._check_space(files)
        self._claim()
        entries = self._copy_all(source, files)
        manifest = Manifest(self._model.source, self._model.repository, self._model.revision, tuple(sorted(entries)))
        self._target.finish(manifest)
        damage = self._change(manifest)
        if damage is not None:
            raise LoadError(
                f"{self._target.where}: the copy changed while it was finished, {damage}: something else writes there; "
                "stop it"
            )
        return manifest

    def _refuse_other(self, there: Manifest) -> None:
        if (there.repository, there.revision) != (self._model.repository, self._model.revision):
            raise LoadError(
                f"{self._target.where}: it holds {there.repository} at {there.revision}, and {self._model.repository} "
                f"at {self._model.revision} was asked for; an engine may be serving it: name another folder"
            )

    def _claim(self) -> None:
        own = f"{self._model.repository} at {self._model.revision}"
        claimed = self._target.claim(own)
        if claimed != own:
            raise LoadError(
                f"{self._target.where}: a loader of {claimed} has claimed it, and {own} was asked for; name another "
                "folder, or, where that loader runs no more, remove this folder and load again"
            )

    def _change(self, manifest: Manifest) -> str | None:
        """What is there other than what was just written. The manifest read back may be of another loader of the same
        revision, and so may differ in its source; its names, sizes and hashes must be the same."""
        there = self._target.manifest()
        if there is None:
            return "the manifest is missing or damaged"
        if (there.repository, there.revision) != (manifest.repository, manifest.revision):
            return f"the manifest is of {there.repository} at {there.revision}"
        other = sorted({entry.name for entry in {*there.files} ^ {*manifest.files}})
        if other:
            return f"the manifest has another {other[0]}"
        return self._target.damage(manifest)

    def _refuse_strangers(self, files: list[SourceFile]) -> None:
        strangers = self._target.strangers({file.name for file in files})
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            raise LoadError(
                f"{self._target.where}: it holds {strangers[0]}{more}, which the model does not have; name an empty "
                "folder, or empty this one"
            )

    def _check_space(self, files: list[SourceFile]) -> None:
        needed = sum(file.size for file in files if self._target.size_of(file.name) != file.size)
        free = self._target.free()
        if needed > free:
            raise LoadError(
                f"{self._target.where}: {human(free)} are free and {human(needed)} are needed; make the volume larger "
                "or free space, and load again"
            )

    def _copy_all(self, source: Source, files: list[SourceFile]) -> list[Entry]:
        progress = Progress(len(files), sum(file.size for file in files), self._say)
        # Loaders that run at once begin with different files and so share the work.
        order = random.sample(files, len(files))
        failed = threading.Event()
        with ThreadPoolExecutor(self._workers, "hash") as hashers, ThreadPoolExecutor(self._workers, "load") as workers:
            copies = [
                workers.submit(_Copy(source, file, self._target, progress, hashers, self._ended(failed)).run)
                for file in order
            ]
            try:
                self._watch(copies, progress)
            finally:
                failed.set()
                for copy in copies:
                    copy.cancel()
        self._say(progress.summary())
        return [copy.result() for copy in copies]

    def _ended(self, failed: threading.Event) -> Callable[[], bool]:
        return lambda: failed.is_set() or self._stop.is_set()

    def _watch(self, copies: list[Future[Entry]], progress: Progress) -> None:
        waiting: set[Future[Entry]] = set(copies)
        while waiting:
            done, waiting = wait(waiting, timeout=_PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
            for copy in done:
                copy.result()
            if waiting:
                progress.line()


class _Copy:
    """One file on its way."""

    def __init__(
        self,
        source: Source,
        file: SourceFile,
        target: Target,
        progress: Progress,
        hashers: ThreadPoolExecutor,
        ended: Callable[[], bool],
    ) -> None:
        self._source = source
        self._file = file
        self._target = target
        self._progress = progress
        self._hashers = hashers
        self._ended = ended

    def run(self) -> Entry:
        """Copy the file unless it is there already."""
        file = self._file
        for _ in range(_ATTEMPTS):
            if self._ended():
                raise StoppedError
            if self._target.size_of(file.name) == file.size:
                present = self._target.sha256_of(file.name)
                if present == (file.sha256 or self._transfer(None)):
                    self._progress.file_done(already_there=file.size)
                    return Entry(file.name, file.size, present)
            try:
                digest = self._copy()
            except LostPartError:
                continue  # another loader finished the model, and with it most likely this file
            self._progress.file_done()
            return Entry(file.name, file.size, digest)
        raise LoadError(f"{file.name}: other programs remove it while it is written; stop them, and load again")

    def _copy(self) -> str:
        part = self._target.part(self._file.name)
        try:
            digest = self._transfer(part.write)
            if self._file.sha256 is not None and digest != self._file.sha256:
                raise LoadError(
                    f"{self._source.where}/{self._file.name}: its SHA-256 is {digest}, and the source promises "
                    f"{self._file.sha256}; the file is damaged there or on the way, load again"
                )
            part.commit()
        except LostPartError:
            self._progress.copied(-self._file.size)
            raise
        finally:
            part.discard()
        return digest

    def _transfer(self, write: Callable[[memoryview], None] | None) -> str:
        """Read the whole file and hash it while it is written; its SHA-256."""
        digest, copied = hashlib.sha256(), 0
        buffer = memoryview(bytearray(min(_BLOCK, self._file.size + 1)))
        stream = self._source.open(self._file)
        try:
            while True:
                if self._ended():
                    raise StoppedError
                count = stream.readinto(buffer)
                if not count:
                    break
                hashing = self._hashers.submit(digest.update, buffer[:count])
                try:
                    if write is not None:
                        write(buffer[:count])
                finally:
                    hashing.result()
                copied += count
                if write is not None:
                    self._progress.copied(count)
        finally:
            stream.close()
        if copied != self._file.size:
            raise LoadError(
                f"{self._source.where}/{self._file.name}: it has {copied} bytes, and {self._file.size} were announced; "
                "it changed while it was read, load again"
            )
        return digest.hexdigest()
