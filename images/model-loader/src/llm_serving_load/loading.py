"""Brings a model from a source into a target: checked, in parallel, and complete or not there."""

import mmap
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from llm_serving_load.checks import check, select_files
from llm_serving_load.completeness import find_damage, unexpected_files
from llm_serving_load.digests import SHA256, Digests, agree, strongest
from llm_serving_load.errors import LoadError, LostPartError, StoppedError, TemporaryError
from llm_serving_load.manifest import Entry, Manifest
from llm_serving_load.progress import Progress
from llm_serving_load.sizes import human_size
from llm_serving_load.sources import Source, SourceFile
from llm_serving_load.targets import Target

_BLOCK = 512 * 1024
"""Fits into a core's own cache (1 MiB and more), so that what was just read is written and hashed from there. With
2 MiB the same copy took twice the processor's time; with 256 KiB a tenth more."""
_ATTEMPTS = 3
_PROGRESS_SECONDS = 5.0
_NAMES = {SHA256: "SHA-256", "crc32c": "CRC-32C", "crc32": "CRC-32", "md5": "MD5"}


@dataclass(frozen=True)
class Model:
    """What is loaded: ``org/name`` at a commit, and the URL that it was asked from."""

    source: str
    repository: str
    revision: str


class Loader:
    """Loads one model into one target, ``workers`` files at once.

    With ``deep`` it also reads a copy that is there, and repairs what has changed. With ``adapter_rank`` it is no model
    but a LoRA adapter of this rank. ``failed`` is set as soon as one file failed for good, so that no other one waits
    for a server any more.
    """

    def __init__(
        self,
        model: Model,
        target: Target,
        say: Callable[[str], None],
        stop: threading.Event,
        workers: int,
        *,
        deep: bool = False,
        adapter_rank: int | None = None,
        failed: threading.Event | None = None,
    ) -> None:
        self._model = model
        self._target = target
        self._workers = workers
        self._say = say
        self._stop = stop
        self._deep = deep
        self._adapter_rank = adapter_rank
        self._failed = failed or threading.Event()

    def load(self, open_source: Callable[[], Source]) -> Manifest:
        """Load the model where it is not there yet; the manifest of the complete copy.

        The source is opened only where something has to be loaded.

        Raises:
            LoadError: it cannot be loaded.
            StoppedError: ``stop`` was set; what is complete stays, and the next run goes on from there.
        """
        present = self._target.manifest()
        if present is not None:
            self._refuse_other(present)
            damage = find_damage(self._target, present, deep=self._deep)
            if damage is None:
                self._say(f"already there: {len(present.files)} files, {human_size(present.size)}")
                return present
            self._say(f"the copy is damaged, {damage}: loading what is wrong again")
        repairs = self._deep and present is not None
        source = open_source()
        files = select_files(source.files())
        check(source, files, self._adapter_rank)
        sizes = self._target.sizes()
        self._refuse_unexpected_files(files, sizes)
        self._target.prepare()
        self._check_space(files, sizes)
        self._claim()
        entries = self._copy_all(source, files)
        manifest = Manifest(self._model.source, self._model.repository, self._model.revision, tuple(sorted(entries)))
        self._target.finish(manifest)
        change = self._change(manifest, deep=repairs)
        if change is not None:
            raise TemporaryError(
                f"{self._target.where}: the copy changed while it was finished, {change}: something else writes there; "
                "stop it"
            )
        return manifest

    def _refuse_other(self, present: Manifest) -> None:
        if (present.repository, present.revision) != (self._model.repository, self._model.revision):
            raise LoadError(
                f"{self._target.where}: it holds {present.repository} at {present.revision}, and "
                f"{self._model.repository} at {self._model.revision} was asked for; an engine may be serving it: name "
                "another folder"
            )

    def _claim(self) -> None:
        own = f"{self._model.repository} at {self._model.revision}"
        claimed = self._target.claim(own)
        if claimed != own:
            raise LoadError(
                f"{self._target.where}: a loader of {claimed} has claimed it, and {own} was asked for; name another "
                "folder, or, where that loader runs no more, remove this folder and load again"
            )

    def _change(self, manifest: Manifest, *, deep: bool) -> str | None:
        """What is there other than what was just written. The manifest read back may be of another loader of the same
        revision, and so may differ in its source; its names, sizes and hashes must be the same. ``deep`` also reads
        the files: what was found damaged once is held to its bytes."""
        present = self._target.manifest()
        if present is None:
            return "the manifest is missing or damaged"
        if (present.repository, present.revision) != (manifest.repository, manifest.revision):
            return f"the manifest is of {present.repository} at {present.revision}"
        other = sorted({entry.name for entry in {*present.files} ^ {*manifest.files}})
        if other:
            return f"the manifest has another {other[0]}"
        return find_damage(self._target, manifest, deep=deep)

    def _refuse_unexpected_files(self, files: list[SourceFile], sizes: Mapping[str, int]) -> None:
        more = unexpected_files(sizes, (file.name for file in files))
        if more:
            others = f" and {len(more) - 1} more" if len(more) > 1 else ""
            raise LoadError(
                f"{self._target.where}: it holds {more[0]}{others}, which the model does not have; name an empty "
                "folder, or empty this one"
            )

    def _check_space(self, files: list[SourceFile], sizes: Mapping[str, int]) -> None:
        free = self._target.free()
        needed = sum(file.size for file in files if sizes.get(file.name) != file.size)
        if free is not None and needed > free:
            raise LoadError(
                f"{self._target.where}: {human_size(free)} are free and {human_size(needed)} are needed; make the "
                "volume larger or free space, and load again"
            )

    def _copy_all(self, source: Source, files: list[SourceFile]) -> list[Entry]:
        progress = Progress(len(files), sum(file.size for file in files), self._say)
        # Loaders that run at once begin with different files and so share the work.
        order = random.sample(files, len(files))
        with ThreadPoolExecutor(self._workers, "load") as workers:
            copies = [
                workers.submit(_Copy(source, file, self._target, progress, self._ended, deep=self._deep).run)
                for file in order
            ]
            try:
                self._watch(copies, progress)
            except BaseException as error:
                self._failed.set()
                for copy in copies:
                    copy.cancel()
                if isinstance(error, StoppedError):
                    self._say("told to stop: parts of files that are not complete are removed first")
                raise
        self._say(progress.summary())
        return [copy.result() for copy in copies]

    def _ended(self) -> bool:
        return self._failed.is_set() or self._stop.is_set()

    def _watch(self, copies: list[Future[Entry]], progress: Progress) -> None:
        waiting: set[Future[Entry]] = set(copies)
        while waiting:
            done, waiting = wait(waiting, timeout=_PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
            for copy in done:
                copy.result()
            if waiting:
                progress.line()


class _DamagedError(Exception):
    """What was read is not what the source promises."""

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


class _Copy:
    """One file on its way."""

    def __init__(
        self,
        source: Source,
        file: SourceFile,
        target: Target,
        progress: Progress,
        ended: Callable[[], bool],
        *,
        deep: bool,
    ) -> None:
        self._source = source
        self._file = file
        self._target = target
        self._progress = progress
        self._ended = ended
        self._deep = deep
        self._copied = 0

    def run(self) -> Entry:
        """Copy the file unless it is there already.

        Raises:
            LoadError: the source twice gave the same bytes, and not those that it promises.
            TemporaryError: it gave others each time, or others disturb the copy.
        """
        file = self._file
        damaged: _DamagedError | None = None
        for _ in range(_ATTEMPTS):
            if self._ended():
                raise StoppedError
            try:
                present = self._present()
                if present is not None:
                    self._progress.file_done(already_there=file.size)
                    return Entry(file.name, file.size, present)
                sha256 = self._copy()
            except LostPartError:
                continue  # another loader has the file, or finished the model and with it most likely this file
            except _DamagedError as error:
                if damaged is not None and damaged.digest == error.digest:
                    raise LoadError(f"{error}; the file is damaged there, put it there again") from None
                damaged = error
                continue
            self._progress.file_done()
            return Entry(file.name, file.size, sha256)
        if damaged is not None:
            raise TemporaryError(f"{damaged}; it is damaged on the way, load again")
        raise TemporaryError(f"{file.name}: other programs remove it while it is written; stop them, and load again")

    def _present(self) -> str | None:
        """The SHA-256 of the file where the target has it; the source is read only where neither side knows enough."""
        known = self._target.checksums(self._file.name, self._file.size, deep=self._deep)
        if not known:
            return None
        promised = self._file.promised
        if SHA256 in known and SHA256 in promised:
            return known[SHA256] if known[SHA256] == promised[SHA256] else None
        if agree(promised, known) is False:
            return None
        ours = self._transfer(None, known)
        return ours[SHA256] if agree(ours, known) else None

    def _copy(self) -> str:
        part = self._target.part(self._file.name, self._file.size, self._file.sha256)
        self._copied = 0
        try:
            digests = self._transfer(part.write, {})
            part.commit()
        except (LostPartError, _DamagedError):
            self._progress.copied(-self._copied)
            raise
        finally:
            part.discard()
        return digests[SHA256]

    def _transfer(self, write: Callable[[memoryview], None] | None, known: Mapping[str, str]) -> dict[str, str]:
        """Read the whole file, hash it, and write it where ``write`` is given; its checksums, among them the best of
        those that are ``known`` elsewhere."""
        promised = self._file.promised
        wanted = {SHA256, strongest(promised) or SHA256, strongest(known) or SHA256}
        digests, copied = Digests(sorted(wanted)), 0
        # Of whole pages, which the kernel copies faster than what begins inside one.
        buffer = memoryview(mmap.mmap(-1, min(_BLOCK, self._file.size + 1)))
        stream = self._source.open(self._file)
        try:
            while True:
                if self._ended():
                    raise StoppedError
                count = stream.readinto(buffer)
                if not count:
                    break
                if write is not None:
                    write(buffer[:count])
                    self._progress.copied(count)
                    self._copied += count
                digests.update(buffer[:count])
                copied += count
        finally:
            stream.close()
        if copied != self._file.size:
            raise TemporaryError(
                f"{self._source.where}/{self._file.name}: it has {copied} bytes, and {self._file.size} were announced; "
                "it changed while it was read, load again"
            )
        computed = digests.hexadecimal()
        if agree(computed, promised) is False:
            kind = strongest(promised) or SHA256
            raise _DamagedError(
                f"{self._source.where}/{self._file.name}: its {_NAMES[kind]} is {computed[kind]}, and the source "
                f"promises {promised[kind]}",
                computed[SHA256],
            )
        return computed
