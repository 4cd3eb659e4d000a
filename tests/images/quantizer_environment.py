"""The Python that the quantizer's image has, for tests that run its program without a container.

It is made of the image's lock for the CPU in the cache outside the work tree, once for each lock and interpreter.
``python -m tests.images.quantizer_environment`` makes it, which takes some minutes where nothing is cached, and says
why where it cannot: it belongs before the tests, which have a time-out and several processes.
"""

import os
import sys
from pathlib import Path

from stacks.images import IMAGES
from tools.bootstrap import store
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform, SetupFolders, fingerprint
from tools.bootstrap.progress import Progress
from tools.bootstrap.python_env import obtain_uv

LOCK = IMAGES / "quantizer" / "requirements-cpu.txt"
SOURCES = IMAGES / "quantizer" / "src"


class NotHereError(Exception):
    """Why the quantizer cannot run on this machine."""


def interpreter() -> Path:
    """The Python of the environment.

    Raises:
        NotHereError: it was not made.
    """
    place = _place(_folders())
    if store.note(place) is None:
        raise NotHereError("its environment is not made: run `python -m tests.images.quantizer_environment`")
    return place / "bin" / "python"


def main() -> int:
    """Make the environment; the exit status is not 0 if it cannot be made."""
    folders, progress = _folders(), Progress(1)
    place = _place(folders)
    place.parent.mkdir(parents=True, exist_ok=True)
    progress.step("llm-compressor for the CPU")
    log = folders.logs / "quantizer-environment.log"

    def make(folder: Path) -> store.Note:
        uv = obtain_uv(folders, progress)
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        progress.run(
            [uv, "venv", "--clear", "--python", sys.executable, folder], log=log, doing="making it", env=environment
        )
        command = [uv, "pip", "sync", "--python", folder, "--only-binary", ":all:", "--require-hashes", LOCK]
        progress.say("installing the pinned packages, 5 GB")
        progress.run(command, log=log, doing="installing the pinned packages", env=environment)
        return store.Note("pinned", "PyPI")

    try:
        store.obtain(place, make, lambda: progress.say("another process makes it; waiting"))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _folders() -> SetupFolders:
    return SetupFolders.from_environment(IMAGES.parent, os.environ)


def _place(folders: SetupFolders) -> Path:
    key = fingerprint(LOCK.read_bytes(), sys.version, sys.base_prefix, str(Platform.current()))
    return folders.cache / "python" / f"quantizer-{key}"


if __name__ == "__main__":
    sys.exit(main())
