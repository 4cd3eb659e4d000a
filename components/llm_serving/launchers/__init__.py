"""The launchers that the package carries, each as one archive that any Python from 3.11 on runs.

Images of engines are their publishers'. So the launcher comes to them with the release: as a zip on ``PYTHONPATH``,
from a ConfigMap that is named by the zip's digest. Owns the source of the launcher, its versions and the archives.
Leaves alone how an archive gets into a pod (``serving.launcher``) and which version a stack runs (its settings).

``current/`` is the one source; its version stands in its ``__init__``. ``previous/`` is the source of the version
before, so that whoever upgrades the package can go on with what runs. ``digests.csv`` has the SHA-256 of each version's
archive, those included that are no longer carried: a line is added, never changed, and a test holds the sources against
it. So a change of the source comes with a new version: replace ``previous/`` with a copy of ``current/`` as it was
released, change ``current/`` and its version, and add the line that ``python -m llm_serving.launchers`` prints. Until a
version was released (a tag of the package), its line may change with it.
"""

import csv
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
DIGESTS = "digests.csv"
MODULE = "llm_serving_engine"
COMMAND = ("python3", "-P", "-m", MODULE)
"""Runs an archive that lies on PYTHONPATH. ``-P``: the image's working folder is no place to import from."""

_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_DISTRIBUTION = {
    "METADATA": "Metadata-Version: 2.1\nName: llm-serving-engine\nVersion: {version}\nRequires-Python: >=3.11\n",
    # vLLM asks importlib.metadata for its plugins, which reads a distribution's folder in a zip too.
    "entry_points.txt": f"[vllm.general_plugins]\nllm_serving_milestones = {MODULE}.vllm_stages:register\n",
}


@dataclass(frozen=True)
class Launcher:
    """One version of the launcher.

    Attributes:
        version: as its source states it.
        archive: a zip with the package and its metadata.
        digest: SHA-256 of the archive, hexadecimal.
    """

    version: str
    archive: bytes
    digest: str

    @property
    def file_name(self) -> str:
        """Name of the archive's file."""
        return f"{MODULE}-{self.version}.zip"


@cache
def launchers() -> dict[str, Launcher]:
    """Every launcher that the package carries, by version, the current one first."""
    folders = [FOLDER / "current", FOLDER / "previous"]
    built = [build(folder) for folder in folders if (folder / MODULE).is_dir()]
    return {launcher.version: launcher for launcher in built}


def current() -> Launcher:
    """The newest launcher."""
    return next(iter(launchers().values()))


def build(folder: Path) -> Launcher:
    """The launcher whose package lies in a folder. The same source gives the same bytes on every machine."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / MODULE).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    version = _VERSION.search(files[f"{MODULE}/__init__.py"].decode())
    assert version is not None, f"{folder}: its version is not stated"
    metadata = f"{MODULE}-{version[1]}.dist-info"
    files |= {f"{metadata}/{name}": text.format(version=version[1]).encode() for name, text in _DISTRIBUTION.items()}
    buffer = io.BytesIO()
    # Stored, not deflated: what a compressor makes of a text differs between versions of zlib.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    content = buffer.getvalue()
    return Launcher(version[1], content, hashlib.sha256(content).hexdigest())


def recorded_digests() -> dict[str, str]:
    """Digest of every version that there was, by version."""
    with (FOLDER / DIGESTS).open(newline="") as file:
        return {row["version"]: row["sha256"] for row in csv.DictReader(file)}
