"""The command line: `sh tools/bootstrap.sh ensure|cached|status|path|env`."""

import argparse
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tools.bootstrap import python_env, system_packages
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform, SetupFolders, short
from tools.bootstrap.install import installer
from tools.bootstrap.progress import Progress, elapsed
from tools.bootstrap.recipes import GROUPS, ON_REQUEST, Recipe
from tools.bootstrap.view import Entry

_PYTHON = "python"
_NODE = "node"
_REPO = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    # So that a terminated set-up ends its compilers and removes what is unfinished.
    signal.signal(signal.SIGTERM, _stop)
    try:
        folders = SetupFolders.from_environment(_REPO, os.environ)
        if options.command == "ensure":
            _ensure(folders, options.groups or [_PYTHON, *(group for group in GROUPS if group not in ON_REQUEST)])
        elif options.command == "cached":
            return _cached(folders, options.groups)
        elif options.command == "status":
            _status(folders)
        elif options.command == "path":
            print("\n".join(str(folder) for folder in _bin_folders(folders)))
        else:
            _env(folders)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was finished stays in the cache", file=sys.stderr)
        return 130
    return 0


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/bootstrap.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    without = ", ".join(ON_REQUEST)
    ensure = commands.add_parser("ensure", help=f"get what is missing; without names, all but {without}")
    # argparse refuses an empty list for nargs="*" with choices before Python 3.13.
    ensure.add_argument("groups", nargs="*", type=_group, metavar=f"{{{','.join([_PYTHON, *GROUPS])}}}")
    cached = commands.add_parser(
        "cached", help="say by the exit status whether nothing of these groups would have to be got"
    )
    cached.add_argument("groups", nargs="+", type=_tools_group, metavar=f"{{{','.join(GROUPS)}}}")
    commands.add_parser("status", help="show each tool, its version, origin and place")
    commands.add_parser("path", help="print the folders that belong on PATH, one a line")
    commands.add_parser("env", help='print exports for a shell: eval "$(sh tools/bootstrap.sh env)"')
    return parser


def _group(name: str) -> str:
    if name != _PYTHON and name not in GROUPS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join([_PYTHON, *GROUPS])}")
    return name


def _tools_group(name: str) -> str:
    if name not in GROUPS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(GROUPS)}")
    return name


def _cached(folders: SetupFolders, groups: Sequence[str]) -> int:
    using = installer(folders, Progress(0))
    recipes = [recipe for group in groups for recipe in GROUPS[group] if using.locate(recipe) is None]
    lacking = [f"{recipe.name} {using.version(recipe)}" for recipe in recipes]
    lacking += [f"package {each.debian}" for each in system_packages.Machine.this(os.environ).missing(groups)]
    for name in lacking:
        print(f"{name}: missing", file=sys.stderr)
    return 1 if lacking else 0


def _ensure(folders: SetupFolders, groups: Sequence[str]) -> None:
    started = time.monotonic()
    if _NODE in groups and not _holds_a_node():
        print(f"{_NODE}: left out, since containers run on Linux only", file=sys.stderr)
        groups = [group for group in groups if group != _NODE]
    recipes: list[Recipe] = [recipe for group in GROUPS if group in groups for recipe in GROUPS[group]]
    with_packages = [group for group in groups if group in system_packages.PACKAGES]
    progress = Progress(len(recipes) + (_PYTHON in groups) + bool(with_packages))
    if _PYTHON in groups:
        python_env.ensure(folders, progress)
    if with_packages:
        machine = system_packages.Machine.this(os.environ)
        system_packages.ensure(machine, with_packages, progress, cache=folders.cache, logs=folders.logs)
    using = installer(folders, progress)
    for recipe in recipes:
        using.ensure(recipe)
    if recipes:
        print(
            f"{', '.join(groups)}: ready after {elapsed(time.monotonic() - started)} in {short(folders.view)}",
            file=sys.stderr,
        )


def _holds_a_node() -> bool:
    return Platform.current().os == "linux"


def _status(folders: SetupFolders) -> None:
    using = installer(folders, Progress(0))
    stamp = python_env.Stamp.read(folders.venv)
    filled = "filled" if stamp == python_env.Stamp.wanted(folders.repo) else "not up to date"
    rows = [
        ("TOOL", "VERSION", "ORIGIN", "LOCATION"),
        ("python", platform.python_version(), filled, short(folders.venv)),
    ]
    shown = [group for group in GROUPS if group != _NODE or _holds_a_node()]
    for recipe in (recipe for group in shown for recipe in GROUPS[group]):
        entry = using.locate(recipe)
        if entry:
            rows.append((recipe.name, entry.version, entry.origin, short(Path(_location(entry)))))
        else:
            rows.append((recipe.name, using.version(recipe), "missing", ""))
    lacking = system_packages.Machine.this(os.environ).missing(shown)
    origin, names = ("missing", [each.debian for each in lacking]) if lacking else ("system", [])
    rows.append((system_packages.NAME, "", origin, ", ".join(names)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[3]]).rstrip())


def _location(entry: Entry) -> str:
    return os.path.commonpath(entry.links.values())


def _bin_folders(folders: SetupFolders) -> list[Path]:
    return [folders.venv / "bin", folders.view / "bin"]


def _env(folders: SetupFolders) -> None:
    path = os.pathsep.join(str(folder) for folder in _bin_folders(folders))
    print(f'export PATH={shlex.quote(path)}:"$PATH"')
    print(f"export LLM_SERVING_TOOLS={shlex.quote(str(folders.view))}")
