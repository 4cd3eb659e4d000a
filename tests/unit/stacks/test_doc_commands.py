"""Commands that the documents tell readers to type are commands that exist, with options that they have."""

import contextlib
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import local.cli
import stacks.cli
from tests.unit.stacks.settings_files import REPOSITORY

PAGES = sorted(
    page
    for folder in (".", "docs", "docs/adr", "components", "examples", "images", "tools")
    for page in (REPOSITORY / folder).glob("*.md")
    # What was decided or changed at its time.
    if page.name != "CHANGELOG.md" and page.parent.name != "adr"
)
MAKE = "".join((REPOSITORY / file).read_text() for file in ("Makefile", "tools/setup.mk"))
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKE, re.MULTILINE))
PROGRAMS = {"stacks": stacks.cli.app, "local": local.cli.app}
GNU_ONLY = {
    "base64": "-w",
    "date": "-d",
    "grep": "-P",
    "sed": "-i",
    "stat": "-c",
}
"""Options that the BSD programs of macOS lack or read in another way (its manual pages): what follows `sed -i` is the
ending of a backup there."""
INLINE = r"`((?:python -m (?:stacks|local)|\.venv/bin/stacks|stacks|make) [^`\n]+)`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_commands_are_accepted_by_the_programs_that_they_name(page: Path) -> None:
    for command in commands(page.read_text()):
        first = next((number for number, word in enumerate(command) if "=" not in word), len(command))
        words = command[first:]
        if words[:2] == ["python", "-m"] and words[2] in PROGRAMS:
            check(PROGRAMS[words[2]], words[3:], command)
        elif words and words[0].removeprefix(".venv/bin/") == "stacks":
            check(PROGRAMS["stacks"], words[1:], command)
        elif words and words[0] == "make":
            unknown = {word for word in words[1:] if not word.startswith("-") and "=" not in word} - TARGETS
            assert not unknown, f"{shlex.join(command)}: no such target"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_commands_work_on_macos_as_on_linux(page: Path) -> None:
    for command in commands(page.read_text()):
        assert GNU_ONLY.get(command[0] if command else "") not in command[1:], f"{shlex.join(command)}: GNU only"


def test_documents_have_commands_of_every_kind() -> None:
    named = {command[0] for page in PAGES for command in commands(page.read_text())}
    assert {"stacks", "python", "make", "pulumi", "kubectl", "gcloud"} <= named


def commands(text: str) -> Iterator[list[str]]:
    """Commands of shell blocks, of consoles, and those that stand in sentences; each as words."""
    for language, block in re.findall(r"^ *```(sh|console)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in whole_lines(lines):
            yield from simple_commands(line)
    for line in re.findall(INLINE, re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield from simple_commands(line)


def whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines, together with those that follow while a quotation is open."""
    begun: list[str] = []
    for line in lines:
        begun.append(line)
        with contextlib.suppress(ValueError):  # no closing quotation
            shlex.split("\n".join(begun), comments=True)
            yield "\n".join(begun)
            begun = []
    yield from begun


def simple_commands(line: str) -> Iterator[list[str]]:
    """``a | b > c`` as the words of ``a`` and of ``b``."""
    # What is in brackets may be left out: `[--against REF]`.
    lexer = shlex.shlex(re.sub(r"(?<= )\[([^]]*)\]", r"\1", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in ("|", "&&", "||", ";", "&"):
            yield words
            words = []
        else:
            words.append(word)
    for redirection in ("<", ">"):
        if redirection in words:
            words = words[: words.index(redirection)]
    if words:
        yield words


def check(app: typer.Typer, arguments: list[str], command: list[str]) -> None:
    """Parsed as the program does it, and not run. What stands for a value (``STACK``, ``FILE``) is taken as one."""
    program: Any = typer.main.get_command(app)
    if arguments == ["--help"]:
        return
    while hasattr(program, "commands"):
        name, *arguments = arguments or [""]
        assert name in program.commands, f"{shlex.join(command)}: no such command"
        program = program.commands[name]
    if not arguments or "--help" in arguments:
        return  # a command that is named, not typed
    try:
        program.make_context("", [word for word in arguments if word != "..."])
    except Exception as error:
        pytest.fail(f"{shlex.join(command)}: {getattr(error, 'message', error)}")
