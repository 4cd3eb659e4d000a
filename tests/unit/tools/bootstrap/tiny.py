"""One tiny tool, a stand-in for Go, and set-ups that run as processes of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.folders import SetupFolders
from tools.bootstrap.recipes import Download, GoBuild, Program
from tools.bootstrap.versions import Range

ROOT = Path(__file__).resolve().parents[4]

# The real command line, on a repository whose only tool is `tiny`.
_SETUP = """
import pathlib, signal, sys
# A shell that runs the tests in the background leaves SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.unit.tools.bootstrap.tiny import program
from tools.bootstrap import cli
cli._REPO = pathlib.Path(sys.argv[1])
cli.GROUPS.clear()
cli.GROUPS["cluster"] = (program(),)
sys.exit(cli.main(sys.argv[2:]))
"""


def program(download: Download | None = None, companions: tuple[str, ...] = ()) -> Program:
    build = GoBuild("tiny", "tiny", "example.com/tiny", "example.com/tiny")
    return Program(build, Range((1, 2, 0), (2, 0, 0)), download=download, companions=companions)


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Workshop:
    """A repository that pins `tiny`, its cache, and a folder with a stand-in for Go."""

    folder: Path

    @property
    def folders(self) -> SetupFolders:
        return SetupFolders.from_environment(self.folder / "repo", {"LLM_SERVING_CACHE": str(self.folder / "cache")})

    @property
    def go_mod(self) -> Path:
        return self.folders.go_modules / "tiny" / "go.mod"

    def pin(self, version: str, go: str = "1.20") -> None:
        self.go_mod.parent.mkdir(parents=True, exist_ok=True)
        self.go_mod.write_text(f"module wrapper\n\ngo {go}\n\nrequire example.com/tiny v{version}\n")
        (self.go_mod.parent / "go.sum").write_text("")

    def go_builds_by(self, script: str) -> Path:
        """Put a `go` into a folder, which is returned; `script` makes the file "$out"."""
        go = f"""
            [ "$1" = env ] && {{ echo go1.30.0; exit; }}
            echo build >> '{self.folder}/builds'
            while [ "$1" != -o ]; do shift; done
            out=$2
            mkdir -p "$(dirname "$out")"
            {script}
        """
        return executable(self.folder / "go" / "go", go).parent

    def builds(self) -> int:
        noted = self.folder / "builds"
        return len(noted.read_text().splitlines()) if noted.exists() else 0

    def finished(self) -> list[Path]:
        """What a later run would take for a complete tool."""
        return sorted((self.folders.tools / "tiny").glob("[!.]*"))

    def unfinished(self) -> list[Path]:
        return sorted((self.folders.tools / "tiny").glob(".unfinished-*"))

    def start(self, *path: Path) -> "subprocess.Popen[str]":
        """Start a set-up of `tiny` as a process, with these folders first on PATH."""
        return subprocess.Popen(
            [sys.executable, "-c", _SETUP, str(self.folders.repo), "ensure", "cluster"],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
                "LLM_SERVING_CACHE": str(self.folders.cache),
                "LLM_SERVING_TOOLS": str(self.folders.view),
                "LLM_SERVING_TOOLS_OFFLINE": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def setup(self, *path: Path) -> "subprocess.CompletedProcess[str]":
        process = self.start(*path)
        output, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")
