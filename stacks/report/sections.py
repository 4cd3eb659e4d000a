"""How reports look: sections of columns and rows, as tables of a terminal, as plain text or as Markdown.

What must be copied whole (names, quotas, addresses, expressions) is never broken or cut: a column of prose gives way,
and where that is not enough a section becomes a list.
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 160
"""Columns of a table that no terminal shows, where ``COLUMNS`` does not say."""

PROSE_WIDTH = 12
"""Columns below which prose is not squeezed: a list is easier to read."""

Cell = str | Text
"""What stands in a row; ``Text`` where it has a colour. Lines of a cell stay apart."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: what its cells are.
        prose: its cells may be wrapped between words.
    """

    title: str
    prose: bool = False


def prose(title: str) -> Column:
    """A column whose cells may be wrapped between words."""
    return Column(title, prose=True)


@dataclass(frozen=True)
class Section:
    """A table with what is to be said under it.

    Attributes:
        title: what it shows.
        columns: its columns; a string is the title of a column that is not wrapped.
        rows: a cell for each column.
        totals: rows under a line.
        notes: sentences under the table.
    """

    title: str
    columns: tuple[Column | str, ...]
    rows: Sequence[Sequence[Cell]]
    totals: Sequence[Sequence[Cell]] = ()
    notes: Sequence[str] = ()

    @property
    def titles(self) -> tuple[str, ...]:
        """Titles of the columns."""
        return tuple(column if isinstance(column, str) else column.title for column in self.columns)

    @property
    def all_rows(self) -> list[Sequence[Cell]]:
        """Rows, then totals."""
        return [*self.rows, *self.totals]

    def widths(self, available: int) -> list[int] | None:
        """Columns of the terminal for each column, in ``available`` ones; ``None`` where that is too few."""
        columns = list(zip(self.titles, *([str(cell) for cell in row] for row in self.all_rows), strict=True))
        is_prose = [isinstance(column, Column) and column.prose for column in self.columns]
        natural = [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in columns]
        widths = [
            max(_longest_word(cells if wrapped else cells[:1]), min(PROSE_WIDTH, width) if wrapped else _longest(cells))
            for cells, width, wrapped in zip(columns, natural, is_prose, strict=True)
        ]
        spare = available - sum(widths)
        if spare < 0:
            return None
        while spare > 0 and (growing := [index for index, width in enumerate(widths) if width < natural[index]]):
            for index in growing[:spare]:
                widths[index] += 1
                spare -= 1
        return widths


@dataclass(frozen=True)
class Sentence:
    """A line of a report that belongs to no table.

    Attributes:
        text: what it says.
        style: rich's name of how it looks on a terminal.
    """

    text: str
    style: str = "dim"


Part = Section | Sentence


def terminal() -> Console:
    """Where reports go: as wide as the terminal or as ``COLUMNS`` says."""
    is_sized = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if is_sized else PIPED_WIDTH, highlight=False)


def print_tables(parts: Iterable[Part], console: Console) -> None:
    """Print parts as tables with boxes, sections that are too wide for the console as lists."""
    for part in parts:
        if isinstance(part, Sentence):
            _print_wrapped(console, part.text, part.style)
            continue
        widths = part.widths(console.width - 3 * len(part.columns) - 1)
        if widths is None:
            _print_list(console, part)
        else:
            _print_wrapped(console, part.title, "bold")
            console.print(_table(part, widths))
        for note in part.notes:
            _print_wrapped(console, note, "dim")


def plain_text(parts: Iterable[Part]) -> str:
    """Parts as text without boxes, a row a line, however long: for logs, files and other programs."""
    blocks: list[str] = []
    for part in parts:
        if isinstance(part, Sentence):
            blocks.append(part.text)
            continue
        rows = [part.titles, *([_one_line(cell, "; ") for cell in row] for row in part.all_rows)]
        widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        blocks.append("\n".join(["", part.title, *lines, *part.notes]))
    return "\n".join(blocks).lstrip("\n")


def markdown(parts: Iterable[Part]) -> str:
    """Parts as GitHub's Markdown: for a comment of a pull request."""
    blocks: list[str] = []
    for part in parts:
        if isinstance(part, Sentence):
            blocks.append(f"- {part.text}")
            continue
        rows = [part.titles, ["---"] * len(part.columns)]
        rows += [[_one_line(cell, "<br>").replace("|", "\\|") for cell in row] for row in part.all_rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        notes = ["", *(f"- {note}" for note in part.notes)] if part.notes else []
        blocks.append("\n".join(["", f"### {part.title}", "", table, *notes]))
    return "\n".join(blocks).lstrip("\n")


def usd(value: float | None) -> str:
    """An amount, or that it is not known."""
    return "unknown" if value is None else f"{value:,.2f}"


def usd_sum(known: float, *, complete: bool) -> str:
    """A sum; one that leaves unknown prices out is a lower bound."""
    return usd(known) if complete else f">= {usd(known)}"


def _table(section: Section, widths: Sequence[int]) -> Table:
    table = Table(header_style="bold cyan")
    for title, width in zip(section.titles, widths, strict=True):
        table.add_column(title, width=width, overflow="fold")
    for row in section.rows:
        table.add_row(*_literal(row))
    if section.totals:
        table.add_section()
    for row in section.totals:
        table.add_row(*_literal(row))
    return table


def _literal(row: Sequence[Cell]) -> list[Text]:
    """Cells whose brackets are no markup of rich's: a kubelet says ``[container runtime is down]``."""
    return [cell if isinstance(cell, Text) else Text(cell) for cell in row]


def _print_list(console: Console, section: Section) -> None:
    """A row a paragraph: its first cell, then the others with their titles, where there are several."""
    _print_wrapped(console, section.title, "bold")
    for row in section.all_rows:
        if len(row) == 2:
            _print_wrapped(console, f"{row[0]}: {_one_line(row[1], '; ')}", "")
            continue
        console.print(Text(str(row[0])), soft_wrap=True)
        others = list(zip(section.titles, row, strict=True))[1:]
        text = "; ".join(f"{title}: {_one_line(cell, '; ')}" for title, cell in others if str(cell))
        _print_wrapped(console, text, "", "  ")


def _print_wrapped(console: Console, text: str, style: str, indent: str = "") -> None:
    """Print text with line breaks between words only."""
    wrapped = textwrap.fill(
        text,
        console.width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(Text(wrapped, style=style), soft_wrap=True)


def _one_line(cell: Cell, joint: str) -> str:
    return joint.join(str(cell).split("\n"))


def _longest(cells: Sequence[str]) -> int:
    """The longest line of the cells under a title; the title may be wrapped."""
    return max((cell_len(line) for cell in cells[1:] for line in cell.split("\n")), default=0)


def _longest_word(cells: Sequence[str]) -> int:
    return max(cell_len(word) for cell in cells for word in cell.split() or [""])
