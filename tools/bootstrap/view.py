"""The folder that the rest of the project reads: links to the tools in use, wherever those lie.

    bin/<program>        crds/<name>/*.yaml        kwok/stages.yaml

`tools.json` in it says which tool made which links, so that links which a tool no longer makes go away.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.files import file_locked, write_atomically

_LIST = "tools.json"


@dataclass(frozen=True)
class Entry:
    """One tool in the view: its version, where it came from, and its links with their targets."""

    version: str
    origin: str
    links: Mapping[str, str]

    def is_whole(self, root: Path) -> bool:
        """Say whether every link is there, points where it should and to something that exists."""
        return all(_target(root / link) == target and os.path.exists(target) for link, target in self.links.items())


def entries(root: Path) -> dict[str, Entry]:
    """Return what the view holds, by the name of the tool."""
    try:
        stored: dict[str, dict[str, Any]] = json.loads((root / _LIST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {name: Entry(**entry) for name, entry in stored.items()}


def put(root: Path, name: str, entry: Entry | None) -> None:
    """Make a tool's links and remove those that it had before and no longer has; None removes the tool."""
    if entry == entries(root).get(name) and (entry is None or entry.is_whole(root)):
        return
    with file_locked(root / ".lock"):
        known = entries(root)
        before = known.pop(name, None)
        if entry is not None:
            known[name] = entry
            for link, target in entry.links.items():
                _link(root / link, target)
        kept = {link for other in known.values() for link in other.links}
        for link in set(before.links if before else ()) - kept:
            with contextlib.suppress(FileNotFoundError):
                (root / link).unlink()
        listing = {tool: {**vars(known[tool]), "links": dict(known[tool].links)} for tool in sorted(known)}
        write_atomically(root / _LIST, json.dumps(listing, indent=2) + "\n", mode=0o644)


def _target(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _link(link: Path, target: str) -> None:
    if _target(link) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished = link.with_name(f".{link.name}.{os.getpid()}")
    unfinished.symlink_to(target)
    os.replace(unfinished, link)
