"""What goes wrong with a local cluster, in words that name the file to look into."""

from pathlib import Path

_LINES = 12


class ClusterError(RuntimeError):
    """A local cluster that cannot be created, started or used."""


def with_log(message: str, log: Path, lines: int = _LINES) -> str:
    """``message``, the log's name and its last lines."""
    end = last_lines(log, lines)
    shown = "\n".join(f"    {line}" for line in end) if end else "    (empty)"
    return f"{message}\n  {log} ends with:\n{shown}"


def last_lines(log: Path, lines: int = _LINES) -> list[str]:
    """The last lines of a log; none where there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
