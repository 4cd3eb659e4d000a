"""Official downloads, each checked against the sha256 that its makers publish beside it."""

import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform
from tools.bootstrap.recipes import Download, Program

_TIMEOUT_S = 5
_CHUNK = 1 << 20


class Unavailable(Exception):  # noqa: N818 -- not an error: another way is tried
    """A download that cannot be had here; the message says why."""


class Downloads:
    """Fetches programs; a host that could not be reached is not asked again in the same run."""

    def __init__(self, platform: Platform, *, offline: bool) -> None:
        self._platform = platform
        self._offline = offline
        self._unreachable: dict[str, str] = {}

    def fetch(self, program: Program, version: str, folder: Path) -> None:
        """Put the program, and what is published in one archive with it, into `folder/bin`.

        Raises Unavailable where nothing is published or reachable, and SetupError if the checksum is wrong.
        """
        published = program.download
        if published is None or str(self._platform) not in published.platforms:
            raise Unavailable(f"no official download with a checksum for {self._platform}")
        if self._offline:
            raise Unavailable("downloads are off (LLM_SERVING_TOOLS_OFFLINE)")
        url = self._fill(published.url, published, version)
        expected = self._published_sha256(self._fill(published.checksums, published, version), url)
        archive = folder / Path(urlsplit(url).path).name
        try:
            self._take(program, version, url, expected, archive, folder / "bin")
        finally:
            archive.unlink(missing_ok=True)

    def _take(self, program: Program, version: str, url: str, expected: str, archive: Path, target: Path) -> None:
        actual = self._save(url, archive)
        if actual != expected:
            raise SetupError(
                f"{program.name} {version}: {url} has the sha256 {actual}, "
                f"but its makers publish {expected}. It was not installed. Try again; if it stays so, do not "
                f"trust the connection to {urlsplit(url).netloc}: LLM_SERVING_TOOLS_OFFLINE=1 builds the "
                "program instead."
            )
        _unpack(archive, target, program.name)
        if not (target / program.name).is_file():
            raise SetupError(f"{url} holds no program {program.name}.")

    def _fill(self, template: str, published: Download, version: str) -> str:
        arch = dict(published.arch).get(self._platform.arch, self._platform.arch)
        suffix = dict(published.suffix).get(self._platform.os, "")
        return template.format(version=version, os=self._platform.os, arch=arch, suffix=suffix)

    def _published_sha256(self, checksums: str, url: str) -> str:
        text = bytearray()
        self._read(checksums, text.extend)
        wanted = Path(urlsplit(url).path).name
        for line in text.decode(errors="replace").splitlines():
            words = line.split()
            if words and (len(words) == 1 or Path(words[-1].lstrip("*")).name == wanted):
                return words[0].lower()
        raise Unavailable(f"{checksums} has no checksum of {wanted}")

    def _save(self, url: str, target: Path) -> str:
        digest = hashlib.sha256()

        with target.open("wb") as output:

            def keep(chunk: bytes) -> None:
                digest.update(chunk)
                output.write(chunk)

            self._read(url, keep)
        return digest.hexdigest()

    def _read(self, url: str, keep: Callable[[bytes], object]) -> None:
        host = urlsplit(url).netloc
        if host in self._unreachable:
            raise Unavailable(self._unreachable[host])
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
                while chunk := response.read(_CHUNK):
                    keep(chunk)
        except urllib.error.HTTPError as error:
            raise Unavailable(f"{url} answers {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            self._unreachable[host] = f"{host} cannot be reached ({reason})"
            raise Unavailable(self._unreachable[host]) from error


def _unpack(archive: Path, target: Path, name: str) -> None:
    """Put every program of an archive into `target`; a file that is no archive is the program itself.

    Only file names are taken over from an archive, never its folders.
    """
    target.mkdir()
    if archive.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(archive) as packed:
            for member in packed:
                content = packed.extractfile(member) if member.isfile() and member.mode & 0o100 else None
                if content is not None:
                    _write(target / Path(member.name).name, content.read())
    elif archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if (entry.external_attr >> 16) & 0o100 and not entry.is_dir():
                    _write(target / Path(entry.filename).name, packed.read(entry))
    else:
        program = target / name
        shutil.move(archive, program)
        program.chmod(0o755)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)
