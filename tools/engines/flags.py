"""Writes the flags that an engine's own parser knows into the catalog (``engine_flags.csv``).

    python tools/engines/flags.py vllm 0.32.0 --date 2026-11-21 --into $CATALOG/engine_flags.csv

Run it with a Python in which that engine can be imported; a GPU is not needed. vLLM: the CPU distribution that our CPU
image installs, of the same version. SGLang: its wheel and, without their own dependencies, the packages that the module
``sglang.srt.server_args`` imports. Rows of the same engine and version are replaced, all others stay.

Owns how a parser is read. What the rows are used for is ``llm_serving.planning.rules.engine_flags``.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

COLUMNS = ("engine", "version", "flag", "kind", "alias_of", "choices", "source", "date")

_WHOLE = {"int", "human_readable_int", "human_readable_int_or_auto"}
_JSON = {"loads", "parse_dataclass", "union_dict_and_str", "json_list_type", "parse_cuda_graph_config_arg"}


def vllm_parser() -> tuple[argparse.ArgumentParser, str]:
    """The parser of ``vllm serve``, with the names of its tool and reasoning parsers filled in: vLLM checks them later
    than its arguments."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser  # pyright: ignore[reportMissingImports]
    from vllm.reasoning import ReasoningParserManager  # pyright: ignore[reportMissingImports]
    from vllm.tool_parsers import ToolParserManager  # pyright: ignore[reportMissingImports]
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # pyright: ignore[reportMissingImports]

    parser = make_arg_parser(FlexibleArgumentParser())
    for action in parser._actions:
        if action.dest == "tool_call_parser":
            action.choices = ToolParserManager.list_registered()
        if action.dest == "reasoning_parser":
            action.choices = ReasoningParserManager.list_registered()
    return parser, "vllm.entrypoints.launchers.cli_args.make_arg_parser"


def sglang_parser() -> tuple[argparse.ArgumentParser, str]:
    """The parser of ``sglang.launch_server``."""
    from sglang.srt.server_args import ServerArgs  # pyright: ignore[reportMissingImports]

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    return parser, "sglang.srt.server_args.ServerArgs.add_cli_args"


PARSERS: dict[str, Callable[[], tuple[argparse.ArgumentParser, str]]] = {
    "vllm": vllm_parser,
    "sglang": sglang_parser,
}


def rows(engine: str, version: str, date: str) -> list[dict[str, str]]:
    """One row a long option. Positional arguments and the help are left out."""
    parser, source = PARSERS[engine]()
    options: list[dict[str, str]] = []
    for action in parser._actions:
        names = [name[2:] for name in action.option_strings if name.startswith("--")]
        names = [name for name in names if not (_is_switch(action) and name.startswith("no-"))]
        if not names or isinstance(action, argparse._HelpAction):
            continue
        for name in names:
            options.append(
                {
                    "engine": engine,
                    "version": version,
                    "flag": name,
                    "kind": kind(action),
                    "alias_of": "" if name == names[0] else names[0],
                    "choices": ";".join(sorted({str(choice) for choice in action.choices or () if choice is not None})),
                    "source": source,
                    "date": date,
                }
            )
    return sorted(options, key=lambda row: row["flag"])


def kind(action: argparse.Action) -> str:
    """What follows a flag: ``switch`` (with a ``--no-`` form), ``presence`` (without one), ``integer``, ``number``,
    ``json`` (also nested, ``name.key``, where the engine allows it), ``list`` or ``text``."""
    if _is_switch(action):
        return "switch"
    if action.nargs == 0:
        return "presence"
    if action.nargs in ("+", "*"):
        return "list"
    name = getattr(action.type, "__name__", "")
    if name in ("_optional_type", "_parse_type"):
        name = getattr(_closed_over(action.type), "__name__", "")
    if name in _WHOLE:
        return "integer"
    if name == "float":
        return "number"
    return "json" if name in _JSON else "text"


def _is_switch(action: argparse.Action) -> bool:
    return isinstance(action, argparse.BooleanOptionalAction)


def _closed_over(function: object) -> object:
    """The type that a wrapper such as vLLM's ``optional_type`` converts to."""
    for cell in getattr(function, "__closure__", None) or ():
        if callable(cell.cell_contents):
            inner = cell.cell_contents
            wrapped = getattr(inner, "__name__", "") in ("_optional_type", "_parse_type")
            return _closed_over(inner) if wrapped else inner
    return None


def merge(text: str, new: Iterable[dict[str, str]]) -> str:
    """The file's text with the rows of one engine and version replaced; comment lines stay on top."""
    fresh = list(new)
    replaced = {(row["engine"], row["version"]) for row in fresh}
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("#")]
    old = csv.DictReader(line for line in lines if not line.startswith("#"))
    kept = [row for row in old if (row["engine"], row["version"]) not in replaced]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted([*kept, *fresh], key=lambda row: (row["engine"], row["version"], row["flag"])):
        writer.writerow([row[column] for column in COLUMNS])
    return "\n".join([*comments, out.getvalue()])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=sorted(PARSERS))
    parser.add_argument("version", help="version whose parser this Python imports, as releases name it")
    parser.add_argument("--date", required=True, help="day of reading, YYYY-MM-DD")
    parser.add_argument("--into", required=True, type=Path, help="engine_flags.csv")
    options = parser.parse_args()
    before = options.into.read_text(encoding="utf-8") if options.into.exists() else ",".join(COLUMNS) + "\n"
    options.into.write_text(merge(before, rows(options.engine, options.version, options.date)), encoding="utf-8")


if __name__ == "__main__":
    main()
