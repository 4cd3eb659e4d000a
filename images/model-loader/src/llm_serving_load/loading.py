"""Brings a model from a source into a target: checked, in parallel, and complete or not there."""

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from llm_serving_load.checks import check, select_files
from llm_serving_load.completeness import find_damage, unexpected_files
from llm_serving_load.digests import SHA256, agree
from llm_serving_load.errors import LoadError, LostPartError, StoppedError, TemporaryError
from llm_serving_load.manifest import Entry, Manifest
from llm_serving_load.progress import Progress
from llm_serving_load.sizes import human_size
from llm_serving_load.sources import Source, SourceFile, shown
from llm_serving_load.targets import Part, Target
from llm_serving_load.transfer import DamagedError, transfer

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
            damage = self._damage(present)
            if damage is None:
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
        return self._finish(entries, deep=repairs)

    def adopt(self, copy: Source, open_source: Callable[[], Source] | None) -> Manifest:
        """Make the manifest of a copy that somebody else put into the target, and whose bytes are not changed.

        Args:
            copy: the files of the target, which are read and hashed.
            open_source: where they must be from, opened where a manifest has to be made; ``None``: what is there is
                taken as it is, once it can be served at all.

        Raises:
            LoadError: the copy is not that of the source, or cannot be served.
            StoppedError: ``stop`` was set.
        """
        present = self._target.manifest()
        if present is not None:
            damage = self._damage(present)
            if damage is None:
                return present
            raise LoadError(
                f"{self._target.where}: its manifest is there and does not fit, {damage}; load again without adopt, "
                "which repairs it"
            )
        present_files = copy.files()
        source = None if open_source is None else open_source()
        files = select_files(present_files if source is None else source.files())
        self._refuse_difference(files, {file.name: file.size for file in present_files})
        check(copy, files, self._adapter_rank)
        self._claim()
        adopted = self._all([_Adoption(copy, file, source, self._ended).run for file in files])
        return self._finish(adopted, deep=False)

    def _refuse_difference(self, files: list[SourceFile], sizes: Mapping[str, int]) -> None:
        """Refuse a copy whose names and sizes are not those of the model."""
        for file in files:
            size = sizes.get(file.name)
            if size != file.size:
                state = "is missing" if size is None else f"has {size} bytes instead of {file.size}"
                raise LoadError(f"{self._target.where}: {file.name} {state}; copy it again, or load without adopt")
        extra = unexpected_files(sizes, (file.name for file in files))
        if extra:
            raise LoadError(
                f"{self._target.where}: {shown(extra, '')} is not what an engine reads of this model (other formats of "
                "the weights, for instance); remove it, and adopt again"
            )

    def _damage(self, present: Manifest) -> str | None:
        """What is wrong with a copy that has a manifest; ``None`` where nothing is.

        Raises:
            LoadError: it is of another model.
        """
        self._refuse_other(present)
        damage = find_damage(self._target, present, deep=self._deep)
        if damage is None:
            self._say(f"already there: {len(present.files)} files, {human_size(present.size)}")
        return damage

    def _finish(self, entries: list[Entry], *, deep: bool) -> Manifest:
        manifest = Manifest(self._model.source, self._model.repository, self._model.revision, tuple(sorted(entries)))
        self._target.finish(manifest)
        change = self._change(manifest, deep=deep)
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
        entries = self._all(
            [_Copy(source, file, self._target, progress, self._ended, deep=self._deep).run for file in order],
            progress.line,
        )
        self._say(progress.summary())
        return entries

    def _all(self, works: list[Callable[[], Entry]], report: Callable[[], None] = lambda: None) -> list[Entry]:
        """What all of the works bring, so many at once as there are workers."""
        with ThreadPoolExecutor(self._workers, "load") as workers:
            copies = [workers.submit(work) for work in works]
            try:
                self._watch(copies, report)
            except BaseException as error:
                self._failed.set()
                for copy in copies:
                    copy.cancel()
                if isinstance(error, StoppedError):
                    self._say("told to stop: parts of files that are not complete are removed first")
                raise
        return [copy.result() for copy in copies]

    def _ended(self) -> bool:
        return self._failed.is_set() or self._stop.is_set()

    def _watch(self, copies: list[Future[Entry]], report: Callable[[], None]) -> None:
        waiting: set[Future[Entry]] = set(copies)
        while waiting:
            done, waiting = wait(waiting, timeout=_PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
            for copy in done:
                copy.result()
            if waiting:
                report()


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
        damaged: DamagedError | None = None
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
            except DamagedError as error:
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
        ours = transfer(self._source, self._file, self._ended, known=known)
        return ours[SHA256] if agree(ours, known) else None

    def _copy(self) -> str:
        part = self._target.part(self._file.name, self._file.size, self._file.sha256)
        self._copied = 0
        try:
            digests = transfer(self._source, self._file, self._ended, write=lambda block: self._write(part, block))
            part.commit()
        except (LostPartError, DamagedError):
            self._progress.copied(-self._copied)
            raise
        finally:
            part.discard()
        return digests[SHA256]

    def _write(self, part: Part, block: memoryview) -> None:
        part.write(block)
        self._progress.copied(len(block))
        self._copied += len(block)


class _Adoption:
    """One file of a copy that somebody else made, against the source's where there is one."""

    def __init__(self, copy: Source, file: SourceFile, source: Source | None, ended: Callable[[], bool]) -> None:
        self._copy = copy
        self._file = file
        self._source = source
        self._ended = ended

    def run(self) -> Entry:
        """Read and hash the file.

        Raises:
            LoadError: it is not the source's.
        """
        file = self._file
        if self._source is not None and not file.promised:
            # The hub has hashes of large files alone, and a folder of none: these are read there.
            file = replace(file, sha256=transfer(self._source, file, self._ended)[SHA256])
        try:
            digests = transfer(self._copy, file, self._ended)
        except DamagedError as error:
            raise LoadError(f"{error}; copy it again, or load without adopt, which repairs it") from None
        return Entry(file.name, file.size, digests[SHA256])
