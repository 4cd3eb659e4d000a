"""How every table of a report looks."""

from rich.table import Table


def plain_table(title: str, *columns: str) -> Table:
    """An empty table; long cells are folded, never cut."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold cyan", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def usd(value: float | None) -> str:
    """An amount, or that it is not known."""
    return "unknown" if value is None else f"{value:,.2f}"
