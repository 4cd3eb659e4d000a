"""Downloads are installed if their published checksum is right, and never otherwise."""

import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import Workshop, program
from tools.bootstrap.downloads import Downloads, Unavailable
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform
from tools.bootstrap.install import Installer
from tools.bootstrap.progress import Progress
from tools.bootstrap.recipes import Download

LINUX = Platform("linux", "amd64")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Path, str]]:
    """A folder, and the address at which a server on this machine publishes it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _download(url: str, file: str = "tiny-{version}-{os}-{arch}") -> Download:
    return Download(f"{url}/{file}", f"{url}/SHA256SUMS", ("linux/amd64",), arch=(("amd64", "x64"),))


def _publish(folder: Path, name: str, content: bytes, checksum: str | None = None) -> None:
    (folder / name).write_bytes(content)
    checksum = checksum or hashlib.sha256(content).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  another-file\n{checksum} *{name}\n")


def _target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir(exist_ok=True)
    return folder


def test_program_with_the_right_checksum_is_installed(tmp_path: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"#!/bin/sh\n")
    Downloads(LINUX, offline=False).fetch(program(_download(url)), "1.2.3", _target(tmp_path))

    installed = tmp_path / "target" / "bin" / "tiny"
    assert installed.read_bytes() == b"#!/bin/sh\n"
    assert os.access(installed, os.X_OK)


def test_checksum_is_found_under_the_folder_that_it_was_made_in(tmp_path: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"abc")
    listed = hashlib.sha256(b"abc").hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  release/another-file\n{listed}  release/tiny-1.2.3-linux-x64\n")
    Downloads(LINUX, offline=False).fetch(program(_download(url)), "1.2.3", _target(tmp_path))

    assert (tmp_path / "target" / "bin" / "tiny").read_bytes() == b"abc"


def test_wrong_checksum_is_refused_and_says_what_to_do(workshop: Workshop, site: tuple[Path, str]) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"something else", checksum="a" * 64)
    using = Installer(workshop.folders, LINUX, "", Downloads(LINUX, offline=False), Progress(1, stream=io.StringIO()))

    with pytest.raises(SetupError) as refusal:
        using.ensure(program(_download(url)))

    message = str(refusal.value)
    assert f"{url}/tiny-1.2.3-linux-x64" in message
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert "a" * 64 in message
    assert "It was not installed" in message
    assert "LLM_SERVING_TOOLS_OFFLINE=1" in message
    assert workshop.finished() == workshop.unfinished() == []


@pytest.mark.parametrize("ending", ["tar.gz", "tgz"])
def test_archive_gives_its_programs_and_cannot_write_elsewhere(
    tmp_path: Path, site: tuple[Path, str], ending: str
) -> None:
    folder, url = site
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, mode in (("t/tiny", 0o755), ("../../evil", 0o755), ("t/README.md", 0o644)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = 3, mode
            archive.addfile(member, io.BytesIO(b"abc"))
    _publish(folder, f"tiny-1.2.3-linux-x64.{ending}", packed.getvalue())
    download = _download(url, f"tiny-{{version}}-{{os}}-{{arch}}.{ending}")
    Downloads(LINUX, offline=False).fetch(program(download), "1.2.3", _target(tmp_path))

    written = sorted(str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*"))
    assert written == ["bin", "bin/evil", "bin/tiny"]
    assert not (tmp_path.parent / "evil").exists()


def test_zip_archive_is_unpacked_with_run_bits(tmp_path: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("t/tiny")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, b"abc")
    _publish(folder, "tiny-1.2.3-linux-x64.zip", packed.getvalue())
    download = _download(url, "tiny-{version}-{os}-{arch}.zip")
    Downloads(LINUX, offline=False).fetch(program(download), "1.2.3", _target(tmp_path))

    assert os.access(tmp_path / "target" / "bin" / "tiny", os.X_OK)


@pytest.mark.parametrize("missing", ["SHA256SUMS", "tiny-1.2.3-linux-x64"])
def test_what_is_not_published_is_unavailable(tmp_path: Path, site: tuple[Path, str], missing: str) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"abc")
    (folder / missing).unlink()

    with pytest.raises(Unavailable, match="answers 404"):
        Downloads(LINUX, offline=False).fetch(program(_download(url)), "1.2.3", _target(tmp_path))
    assert list((tmp_path / "target").rglob("*")) == []


def test_download_without_a_checksum_of_its_own_is_unavailable(tmp_path: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"abc")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  another-file\n")

    with pytest.raises(Unavailable, match=r"has no checksum of tiny-1\.2\.3-linux-x64"):
        Downloads(LINUX, offline=False).fetch(program(_download(url)), "1.2.3", _target(tmp_path))


def test_host_that_cannot_be_reached_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    connections = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            nonlocal connections
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections += 1
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        downloads = Downloads(LINUX, offline=False)
        for _ in range(3):
            with pytest.raises(Unavailable, match=f"127.0.0.1:{port} cannot be reached"):
                downloads.fetch(program(_download(f"http://127.0.0.1:{port}")), "1.2.3", _target(tmp_path))
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)
    assert connections == 1


def test_nothing_is_asked_for_when_downloads_are_off(tmp_path: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    _publish(folder, "tiny-1.2.3-linux-x64", b"abc")

    with pytest.raises(Unavailable, match="LLM_SERVING_TOOLS_OFFLINE"):
        Downloads(LINUX, offline=True).fetch(program(_download(url)), "1.2.3", _target(tmp_path))
