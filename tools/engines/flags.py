"""Writes the flags that an engine's own parser knows into the catalog (``engine_flags.csv``).

    python tools/engines/flags.py vllm 0.32.0 --date 2026-11-21 --into $CATALOG/engine_flags.csv

Run it with a Python in which that engine can be imported; a GPU is not needed. vLLM: the CPU distribution that our CPU
image installs, of the same version. SGLang: its wheel and, without their own dependencies, the packages that the module
``sglang.srt.server_args`` imports. Rows of the same engine and version are replaced, all others stay.

Owns how a parser is read, and what the engine checks after it. What the rows are used for is
``llm_serving.planning.rules.engine_flags``.
"""

import argparse
import ast
import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

COLUMNS = ("engine", "version", "flag", "kind", "alias_of", "choices", "bounds", "source", "date")

_SIZES = {"human_readable_int", "human_readable_int_or_auto"}
_JSON = {"loads", "parse_dataclass", "json_list_type", "parse_cuda_graph_config_arg"}
_JSON_OR_TEXT = {"union_dict_and_str"}
_WRAPPERS = {"_optional_type", "_parse_type"}
_OF_SCHEMA = {"boolean": "switch", "integer": "integer", "number": "number", "string": "text", "array": "json"}
"""Kinds by the type of a JSON schema. The value of a part of a JSON flag is JSON itself, a list among them."""
_SPECULATIVE = "speculative_config"
"""Of its parts, those that are configurations again are vLLM's own doing."""
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


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
    typed = CHECKED_LATER[engine]()
    options: list[dict[str, str]] = []
    for action in parser._actions:
        names = [name[2:] for name in action.option_strings if name.startswith("--")]
        names = [name for name in names if not (_is_switch(action) and name.startswith("no-"))]
        if not names or isinstance(action, argparse._HelpAction):
            continue
        field = typed.get(action.dest, _Field())
        choices = sorted({str(choice) for choice in action.choices or () if choice is not None})
        whole = _Field(kind(action), ";".join(choices), field.bounds)
        if not choices and whole.kind == "text" and field.kind == "name":
            whole = field  # vLLM looks the name up after the parser
        parts = _parts(_parsed_into(action), deep=action.dest != _SPECULATIVE) if whole.kind == "json" else {}
        rows_of_flag = dict.fromkeys(names, whole) | {f"{names[0]}.{key}": part for key, part in parts.items()}
        for name, row in rows_of_flag.items():
            options.append(
                {
                    "engine": engine,
                    "version": version,
                    "flag": name,
                    "kind": row.kind,
                    "alias_of": names[0] if name in names[1:] else "",
                    "choices": row.choices,
                    "bounds": row.bounds,
                    "source": source,
                    "date": date,
                }
            )
    return sorted(options, key=lambda row: row["flag"])


@dataclass(frozen=True)
class _Field:
    """What follows a flag, or stands in a part of its JSON."""

    kind: str = "text"
    choices: str = ""
    bounds: str = ""


def _vllm_fields() -> dict[str, _Field]:
    """Fields of vLLM's configurations, which are checked after the parser: bounds, and the names of enumerations."""
    import vllm.config as config  # pyright: ignore[reportMissingImports]

    classes = [each for each in vars(config).values() if isinstance(each, type) and is_dataclass(each)]
    typed: dict[str, _Field] = {}
    for each in classes:
        for name, field in _parts(each, deep=False).items():
            typed.setdefault(name, field)
    # The parser's flag has another name than the configuration's field.
    attention = _parts(config.AttentionConfig, deep=False)["backend"]
    return typed | {"attention_backend": attention}


_SGLANG_CHECKS = ("validation_hook", "serving_hook")
"""Modules of ``sglang.srt.arg_groups`` that check the arguments of any server; others do for one model or one GPU."""

_SIGNS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _sglang_fields() -> dict[str, _Field]:
    """Arguments that SGLang compares with a number when it starts: its checks are code, and are read as that."""
    from importlib.util import find_spec

    fields: dict[str, _Field] = {}
    for module in _SGLANG_CHECKS:
        spec = find_spec(f"sglang.srt.arg_groups.{module}")
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"sglang.srt.arg_groups.{module} is not there any more")
        bounds = asserted_bounds(Path(spec.origin).read_text(encoding="utf-8"))
        fields |= {name: _Field(bounds=bound) for name, bound in bounds.items()}
    return fields


def asserted_bounds(source: str) -> dict[str, str]:
    """Bounds of fields, as the column has them, that the functions of a Python source insist on whatever else is
    given."""
    bounds: dict[str, list[str]] = {}
    for function in ast.walk(ast.parse(source)):
        for statement in function.body if isinstance(function, ast.FunctionDef) else ():
            for name, bound in _asserted(statement):
                bounds.setdefault(name, []).append(bound)
    return {name: ";".join(dict.fromkeys(found)) for name, found in bounds.items()}


def _asserted(statement: ast.stmt) -> Iterable[tuple[str, str]]:
    """Fields and bounds that hold after a statement: an ``assert``, or an ``if`` that raises."""
    if isinstance(statement, ast.Assert):
        yield from _compared(statement.test)
    elif isinstance(statement, ast.If) and not statement.orelse and isinstance(statement.body[-1], ast.Raise):
        test = statement.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield from _compared(test.operand)
            return
        alternatives = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else [test]
        for refused in map(_where_given, alternatives):
            if isinstance(refused, ast.Compare) and len(refused.ops) == 1:
                yield from ((name, _OPPOSITE[sign] + limit) for name, sign, limit in _comparisons(refused))


def _where_given(test: ast.expr) -> ast.expr:
    """The comparison in ``field is not None and field < 1``, which is a bound of every value."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and len(test.values) == 2:
        given, compared = test.values
        if isinstance(given, ast.Compare) and isinstance(given.ops[0], ast.IsNot) and isinstance(compared, ast.Compare):
            return compared if ast.dump(given.left) == ast.dump(compared.left) else test
    return test


def _compared(test: ast.expr) -> Iterable[tuple[str, str]]:
    if isinstance(test, ast.Compare):
        yield from ((name, sign + limit) for name, sign, limit in _comparisons(test))


def _comparisons(test: ast.Compare) -> Iterable[tuple[str, str, str]]:
    """Comparisons of a field with a number in ``0 < arguments.field <= 1``."""
    operands = [test.left, *test.comparators]
    for left, operator, right in zip(operands, test.ops, operands[1:], strict=False):
        sign = _SIGNS.get(type(operator))
        for field, number, said in ((left, right, sign), (right, left, _MIRRORED.get(sign or ""))):
            if said and isinstance(field, ast.Attribute) and (limit := _number(number)):
                yield field.attr, said, limit


def _number(expression: ast.expr) -> str:
    try:
        value = ast.literal_eval(expression)
    except ValueError:
        return ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


CHECKED_LATER: dict[str, Callable[[], dict[str, _Field]]] = {"vllm": _vllm_fields, "sglang": _sglang_fields}
"""What an engine checks of its arguments after the parser, by the name of the field."""


def _parsed_into(action: argparse.Action) -> type | None:
    """The dataclass that vLLM makes of a flag's JSON; ``None`` where it makes none."""
    if action.dest == _SPECULATIVE:
        from vllm.config import SpeculativeConfig  # pyright: ignore[reportMissingImports]

        return SpeculativeConfig  # of which the parser makes a dictionary first
    function: Any = action.type
    while getattr(function, "__name__", "") in _WRAPPERS:
        function = _closed_over(function)
    defaults = getattr(function, "__defaults__", None) or ()
    return next((value for value in defaults if isinstance(value, type) and is_dataclass(value)), None)


def _parts(model: type | None, deep: bool = True) -> dict[str, _Field]:
    """Fields of a dataclass by name, and of those inside it by ``name.name``; empty where pydantic cannot tell."""
    if model is None:
        return {}
    schema = _schema(model)
    parts: dict[str, _Field] = {}

    def add(prefix: str, properties: dict[str, Any], owner: Any) -> None:
        hints = _hints(owner) if owner is not None else {}
        for name, said in properties.items():
            inner, enumeration = _without_null(said), _inside(hints.get(name), Enum)
            named = schema.get("$defs", {}).get(inner.get("$ref", "").rpartition("/")[2], inner)
            if enumeration is not None and "enum" in named:
                values = (str(each.value) for each in enumeration if isinstance(each.value, int | str))
                names = {each.name for each in enumeration} | {value for value in values if value and "." not in value}
                parts[prefix + name] = _Field("name", ";".join(sorted(names)))
            elif "properties" in named:
                parts[prefix + name] = _Field("json")
                if deep:
                    add(f"{prefix}{name}.", named["properties"], _inside(hints.get(name), object))
            elif "anyOf" not in named:
                kind = _OF_SCHEMA.get(named.get("type", ""), "json-or-text")
                choices = ";".join(str(choice) for choice in named.get("enum", ()))
                bounds = ";".join(f"{sign}{named[key]}" for key, sign in _BOUNDS.items() if key in named)
                parts[prefix + name] = _Field(kind, choices, bounds)
            else:
                parts[prefix + name] = _Field("json-or-text")

    add("", schema.get("properties", {}), model)
    return parts


def _hints(model: type) -> dict[str, Any]:
    """Types of a dataclass's fields; none where they are imported for type checkers alone."""
    try:
        return get_type_hints(model)
    except NameError:
        return {}


def _schema(model: type) -> dict[str, Any]:
    """The JSON schema of a dataclass; without the fields that have none."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

    schema: dict[str, Any] = {"properties": {}, "$defs": {}}
    hints, annotated = _hints(model), cast(Any, Annotated)
    for field in fields(model):
        if field.name not in hints:
            continue
        try:
            constraints = getattr(field.default, "metadata", ())
            constrained = annotated[(hints[field.name], "", *constraints)]
            said = TypeAdapter(constrained).json_schema()
        except (PydanticInvalidForJsonSchema, PydanticUserError):
            continue
        schema["$defs"] |= said.pop("$defs", {})
        schema["properties"][field.name] = said
    return schema


def _without_null(said: dict[str, Any]) -> dict[str, Any]:
    """The schema of an optional value."""
    others = [each for each in said.get("anyOf", ()) if each.get("type") != "null"]
    return others[0] if len(others) == 1 else said


def _inside(hint: Any, kind: type) -> Any:
    """The dataclass or the enumeration in ``X | None``; ``None`` where there is none."""
    if isinstance(hint, type):
        return hint if (issubclass(hint, Enum) if kind is Enum else is_dataclass(hint)) else None
    if get_origin(hint) not in (Union, UnionType):
        return None
    return next((found for each in get_args(hint) if (found := _inside(each, kind)) is not None), None)


def kind(action: argparse.Action) -> str:
    """What follows a flag: ``switch`` (with a ``--no-`` form), ``presence`` (without one), ``integer``, ``size`` (one
    that may have a suffix), ``number``, ``json``, ``json-or-text``, ``list`` or ``text``."""
    if _is_switch(action):
        return "switch"
    if action.nargs == 0:
        return "presence"
    if action.nargs in ("+", "*"):
        return "list"
    name = getattr(action.type, "__name__", "")
    if name in _WRAPPERS:
        name = getattr(_closed_over(action.type), "__name__", "")
    if name in _SIZES:
        return "size"
    if name == "int":
        return "integer"
    if name == "float":
        return "number"
    if name in _JSON_OR_TEXT:
        return "json-or-text"
    return "json" if name in _JSON else "text"


def _is_switch(action: argparse.Action) -> bool:
    return isinstance(action, argparse.BooleanOptionalAction)


def _closed_over(function: object) -> object:
    """The type that a wrapper such as vLLM's ``optional_type`` converts to."""
    for cell in getattr(function, "__closure__", None) or ():
        if callable(cell.cell_contents):
            inner = cell.cell_contents
            wrapped = getattr(inner, "__name__", "") in _WRAPPERS
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
        writer.writerow([row.get(column, "") for column in COLUMNS])
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
