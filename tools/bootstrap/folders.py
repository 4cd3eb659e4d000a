"""Where things lie: the repository, the cache outside it, and the folder of links that consumers read."""

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap.errors import SetupError

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, by the names that Go uses."""

    os: str
    arch: str

    @classmethod
    def current(cls) -> "Platform":
        """Return the platform of this machine; refuse one that none of the tools is made for."""
        system, machine = platform.system().lower(), platform.machine().lower()
        if system not in ("linux", "darwin") or machine not in _ARCHITECTURES:
            raise SetupError(
                f"{platform.system()} on {platform.machine()} is not supported. "
                "Use Linux or macOS on x86-64 or ARM64 (on Windows: WSL 2)."
            )
        return cls(system, _ARCHITECTURES[machine])

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"


@dataclass(frozen=True)
class SetupFolders:
    """The folders that a set-up reads and writes."""

    repo: Path
    cache: Path
    view: Path

    @classmethod
    def from_environment(cls, repo: Path, environment: Mapping[str, str]) -> "SetupFolders":
        """Read LLM_SERVING_CACHE, XDG_CACHE_HOME and LLM_SERVING_TOOLS; relative paths start at `repo`."""
        home_cache = environment.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        cache = environment.get("LLM_SERVING_CACHE") or os.path.join(home_cache, "llm-serving")
        view = environment.get("LLM_SERVING_TOOLS") or ".tools"
        return cls(repo, repo / Path(cache).expanduser(), repo / Path(view).expanduser())

    @property
    def go_modules(self) -> Path:
        """The wrapper modules that pin what is built with Go."""
        return self.repo / "tools" / "go"

    @property
    def tools(self) -> Path:
        """The cache of finished tools, one folder a tool and in it one a version."""
        return self.cache / "tools"

    @property
    def logs(self) -> Path:
        """The output of builds, one file a tool."""
        return self.cache / "logs"

    @property
    def venv(self) -> Path:
        """The Python environment."""
        return self.repo / ".venv"


def short(path: Path) -> str:
    """Return the path with the home folder written as `~`."""
    home = os.path.expanduser("~")
    text = str(path)
    return "~" + text[len(home) :] if text.startswith(home + os.sep) else text


def fingerprint(*parts: str | bytes) -> str:
    """Return 12 hexadecimal digits that change with any of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]
