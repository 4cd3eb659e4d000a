"""Run by a Python of its own: vLLM's own parser reads command lines, as ``vllm`` would.

``python parse_arguments.py SITE_PACKAGES`` reads from standard input ``{"commands": {name: [words]}, "fields": {name:
[configuration, field, value]}, "flags": folder}`` and writes ``{"parsed": {name: {argument: value}}, "refused": {name:
message}, "rows": [...]}``: the rows are what ``tools/engines/flags.py``, in that folder, makes of the same parser. A
field is refused by the configuration that vLLM makes after the parser.
"""

import contextlib
import io
import json
import sys

sys.path.insert(0, sys.argv[1])

import vllm.config
from pydantic import ValidationError
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import cmd_init
from vllm.utils.argparse_utils import FlexibleArgumentParser


def main() -> None:
    request = json.load(sys.stdin)
    parser = FlexibleArgumentParser(prog="vllm")
    subparsers = parser.add_subparsers(required=False, dest="subparser")
    for command in cmd_init():
        command.subparser_init(subparsers)
    parsed: dict[str, dict[str, object]] = {}
    refused: dict[str, str] = {}
    for name, words in request["commands"].items():
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                arguments = parser.parse_args(words[1:])
                arguments.model = arguments.model_tag  # as the command does first
                AsyncEngineArgs.from_cli_args(arguments)
        except SystemExit:
            refused[name] = errors.getvalue()
        except Exception as error:
            refused[name] = repr(error)
        else:
            parsed[name] = {key: _plain(value) for key, value in vars(arguments).items()}
    for name, (configuration, field, value) in request["fields"].items():
        try:
            getattr(vllm.config, configuration)(**{field: value})
        except ValidationError as error:
            if any(each["loc"][:1] == (field,) for each in error.errors()):
                refused[name] = str(error)
    sys.path.insert(0, request["flags"])
    import flags

    json.dump({"parsed": parsed, "refused": refused, "rows": flags.rows("vllm", "-", "-")}, sys.stdout)


def _plain(value: object) -> object:
    try:
        json.dumps(value)
    except TypeError:
        if isinstance(value, list):
            return [_plain(item) for item in value]
        fields = getattr(value, "__dict__", None)
        return {key: str(item) for key, item in fields.items()} if fields else str(value)
    return value


if __name__ == "__main__":
    main()
