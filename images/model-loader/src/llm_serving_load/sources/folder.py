"""Models in a folder: ``file:///FOLDER``, laid out as ``FOLDER/<org>/<name>/<revision>/files``."""

import os
import stat
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from llm_serving_load.errors import LoadError
from llm_serving_load.sources.source import SourceFile, shown


class FolderSource:
    """A model in a folder of this machine, a mounted volume for one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def at(cls, url: str, repository: str, revision: str) -> "FolderSource":
        """The model's folder below the one that a URL names.

        Raises:
            LoadError: the URL is none of a local folder, or the folder does not have the model.
        """
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise LoadError(f"--source {url!r}: write the absolute path of a folder, as in file:///source")
        root = Path(unquote(parts.path))
        try:
            return cls._below(url, root, repository, revision)
        except OSError as error:  # a folder on the way that is closed
            _refuse(error)

    @classmethod
    def _below(cls, url: str, root: Path, repository: str, revision: str) -> "FolderSource":
        if not root.is_dir():
            raise LoadError(f"--source {url!r}: {root} is not a folder; mount or make it, or name another")
        models = root / repository
        if not models.is_dir():
            known = [f"{org}/{name}" for org in _folders(root) for name in _folders(root / org)]
            raise LoadError(
                f"--repository {repository!r}: {root} does not have it; it has {shown(known, 'no model')} (models lie "
                "in <org>/<name>/<revision>)"
            )
        if not (models / revision).is_dir():
            raise LoadError(
                f"--revision {revision!r}: {models} does not have it; it has {shown(_folders(models), 'no revision')}"
            )
        return cls(models / revision)

    @property
    def where(self) -> str:
        """The model's folder."""
        return str(self._folder)

    def files(self) -> list[SourceFile]:
        """The files in the folder and below; links to files count as what they point to, hidden names do not count."""
        source_files: list[SourceFile] = []
        for folder, folders, files in os.walk(self._folder, onerror=_refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if name.startswith("."):
                    continue
                path = Path(folder, name)
                try:
                    status = path.stat()
                except OSError as error:
                    _refuse(error)
                if not stat.S_ISREG(status.st_mode):
                    raise LoadError(f"{path}: it is no regular file; put the files of the model there and nothing else")
                source_files.append(SourceFile(path.relative_to(self._folder).as_posix(), status.st_size))
        return source_files

    def open(self, file: SourceFile, offset: int = 0) -> "_FileStream":
        """The file from an offset on."""
        return _FileStream(self._folder / file.name, offset)


class _FileStream:
    """A file of the folder, unbuffered: the reader brings its own large buffer."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115  close() closes it
            self._file.seek(offset)
        except OSError as error:
            _refuse(error)

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            return self._file.readinto(buffer)
        except OSError as error:
            error.filename = str(self._path)
            _refuse(error)

    def close(self) -> None:
        self._file.close()


def _refuse(error: OSError) -> NoReturn:
    raise LoadError(
        f"{error.filename}: the source cannot be read: {error.strerror or error}; make it readable for user "
        f"{os.geteuid()}"
    ) from error


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, for messages; one that is closed shows none."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
