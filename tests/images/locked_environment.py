"""Pythons that images have, for tests that run their programs without a container.

Each is made of an image's lock in the cache outside the work tree, once for each lock and interpreter. They belong
before the tests, which have a time-out and several processes: ``python -m tests.images.quantizer_environment``,
``python -m tests.images.gateway.environment``, ``python -m tests.images.router_environment``.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stacks.images import IMAGES
from tools.bootstrap import store
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform, SetupFolders, fingerprint
from tools.bootstrap.progress import Progress
from tools.bootstrap.python_env import obtain_uv


class NotHereError(Exception):
    """Why the program of an image cannot run on this machine."""


@dataclass(frozen=True)
class LockedEnvironment:
    """A virtual environment of what a lock names.

    Attributes:
        name: what its folder starts with.
        lock: the image's.
        title: what is in it, for people, with its size.
        module: what makes it, for ``python -m``.
    """

    name: str
    lock: Path
    title: str
    module: str

    def interpreter(self) -> Path:
        """Its Python.

        Raises:
            NotHereError: it was not made.
        """
        place = self._place(_folders())
        if store.note(place) is None:
            raise NotHereError(f"its environment is not made: run `python -m {self.module}`")
        return place / "bin" / "python"

    def make(self) -> int:
        """Make it; the exit status is not 0 if it cannot be made."""
        folders, progress = _folders(), Progress(1)
        place = self._place(folders)
        place.parent.mkdir(parents=True, exist_ok=True)
        progress.step(self.title)
        log = folders.logs / f"{self.name}-environment.log"

        def make(folder: Path) -> store.Note:
            uv = obtain_uv(folders, progress)
            environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
            progress.run(
                [uv, "venv", "--clear", "--python", sys.executable, folder], log=log, doing="making it", env=environment
            )
            command = [uv, "pip", "sync", "--python", folder, "--only-binary", ":all:", "--require-hashes", self.lock]
            progress.say("installing the pinned packages")
            progress.run(command, log=log, doing="installing the pinned packages", env=environment)
            return store.Note("pinned", "PyPI")

        try:
            store.obtain(place, make, lambda: progress.say("another process makes it; waiting"))
        except SetupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    def _place(self, folders: SetupFolders) -> Path:
        key = fingerprint(self.lock.read_bytes(), sys.version, sys.base_prefix, str(Platform.current()))
        return folders.cache / "python" / f"{self.name}-{key}"


def _folders() -> SetupFolders:
    return SetupFolders.from_environment(IMAGES.parent, os.environ)
