"""Go: finds it, builds the programs that wrapper modules pin, and fetches the modules' files.

`go.sum` in each wrapper module holds the hash of every module, so what is built or copied is what was
pinned, wherever the module came from.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.errors import SetupError
from tools.bootstrap.progress import Progress
from tools.bootstrap.recipes import GoBuild, OverlaidGoBuild
from tools.bootstrap.versions import Version, parse, show

_GO_LINE = re.compile(r"^go (\S+)", re.MULTILINE)
_USUAL_PLACES = ("/usr/local/go/bin/go", "/opt/homebrew/bin/go", "/usr/local/bin/go")


def pinned(wrapper: Path, module: str) -> str:
    """Return the version, without its v, at which a wrapper module pins a module."""
    text = (wrapper / "go.mod").read_text()
    match = re.search(rf"^(?:require)?\s+{re.escape(module)} v(\S+)", text, re.MULTILINE)
    if match is None:
        raise SetupError(f"{wrapper / 'go.mod'} does not require {module}; add it with its version.")
    return match[1]


def pins(wrapper: Path) -> bytes:
    """Return what decides the result of a build in a wrapper module, its own program included."""
    files = [wrapper / "go.mod", wrapper / "go.sum", *sorted(wrapper.rglob("*.go"))]
    return b"\0".join(file.read_bytes() for file in files if file.name != "tools.go")


@dataclass(frozen=True)
class Go:
    """A Go toolchain that is new enough for one wrapper module."""

    program: Path
    wrapper: Path

    @classmethod
    def find(cls, wrapper: Path, *, wanted_for: str, instead: str) -> "Go":
        """Find a Go that fits the wrapper module's `go` line, or say how to install one."""
        line = _GO_LINE.search((wrapper / "go.mod").read_text())
        needed = parse(line[1]) if line else None
        if needed is None:
            raise SetupError(f"{wrapper / 'go.mod'} has no line `go <version>`.")
        seen: list[str] = []
        candidates = [shutil.which("go"), *_USUAL_PLACES]
        for candidate in dict.fromkeys(c for c in candidates if c and os.access(c, os.X_OK)):
            version = _version(candidate)
            if version and version >= needed:
                return cls(Path(candidate), wrapper)
            seen.append(f"{candidate} is {show(version) if version else 'broken'}")
        raise SetupError(
            f"{wanted_for} needs Go {show(needed)} or later"
            f" ({', '.join(seen) if seen else 'no Go was found'}).\n"
            "  Install it from https://go.dev/dl/ (any system), with `brew install go` (macOS) or with"
            " `snap install go --classic` (Ubuntu), and run this again.\n"
            f"  {instead}"
        )

    def build(self, build: GoBuild, output: Path, *, ldflags: str, log: Path, progress: Progress) -> None:
        """Build a package into the file `output`."""
        command = [self.program, "build", "-trimpath", "-buildvcs=false"]
        with tempfile.TemporaryDirectory() as folder:
            overlay = self._overlay(build, Path(folder)) if isinstance(build, OverlaidGoBuild) else []
            progress.run(
                [*command, *overlay, "-ldflags", ldflags, "-o", output, build.package],
                log=log,
                doing="the build",
                env=_environment(os.environ),
                cwd=self.wrapper,
            )

    def _overlay(self, build: OverlaidGoBuild, folder: Path) -> list[str]:
        """Return the options that lay these files over the wrapper module.

        Go lays nothing over its module cache, so a module of which one file is replaced is itself seen elsewhere: in
        a folder of the wrapper that does not exist, to which the wrapper's `go.mod` is made to point.
        """
        seen = {
            self.wrapper / Path(file.path).name: self.module_folder(file.module) / file.path for file in build.embeds
        }
        options: list[str] = []
        if build.stand_in:
            file, own = build.stand_in
            module, moved = self.module_folder(file.module), self.wrapper / "stand-in"
            sources = (path for path in module.rglob("*") if path.is_file())
            seen |= {moved / path.relative_to(module): path for path in sources}
            seen[moved / file.path] = self.wrapper / own
            pinned_modules = (self.wrapper / "go.mod").read_text()
            (folder / "go.mod").write_text(f"{pinned_modules}\nreplace {file.module} => {moved}\n")
            shutil.copyfile(self.wrapper / "go.sum", folder / "go.sum")
            options = ["-modfile", str(folder / "go.mod")]
        overlay = folder / "overlay.json"
        overlay.write_text(json.dumps({"Replace": {str(place): str(source) for place, source in seen.items()}}))
        return [*options, "-overlay", str(overlay)]

    def module_folder(self, module: str) -> Path:
        """Return the folder of a module's files, fetched if need be and checked against go.sum."""
        result = subprocess.run(
            [self.program, "mod", "download", "-json", module],
            cwd=self.wrapper,
            env=_environment(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answer = json.loads(result.stdout)
        except json.JSONDecodeError:
            answer = {"Error": result.stderr.strip()}
        if result.returncode != 0 or "Dir" not in answer:
            raise SetupError(f"Go cannot fetch {module} for {self.wrapper}: {answer.get('Error')}")
        return Path(answer["Dir"])


def _version(go: str) -> Version | None:
    try:
        result = subprocess.run(
            [go, "env", "GOVERSION"],
            env=_environment(os.environ),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(result.stdout)


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    return {
        **base,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
