"""``llm-serving-quantize``: quantizes a model in a folder into another folder."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llm_serving_quantize.errors import Exit, QuantizeError
from llm_serving_quantize.model import MANIFEST
from llm_serving_quantize.quantizing import Calibration, Request, quantize
from llm_serving_quantize.schemes import SCHEMES

SAMPLES, SEQUENCE_LENGTH = 512, 2048
"""What llm-compressor's documentation starts from."""

_CODES = (
    "Ends with 0: done; 78: a retry cannot help (a model or data that cannot be quantized like this); 2: wrong usage; "
    "another code: it failed, a retry may help."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; one of :class:`~llm_serving_quantize.errors.Exit`."""
    parser = argparse.ArgumentParser(
        prog="llm-serving-quantize",
        description="Quantizes a model with llm-compressor. The result appears complete or not at all.",
        epilog=_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--base", metavar="FOLDER", type=Path, required=True, help="the model, with 16-bit weights")
    parser.add_argument("--result", metavar="FOLDER", type=Path, required=True, help="folder to make")
    parser.add_argument("--scheme", choices=list(SCHEMES), required=True, help="how weights and activations are stored")
    parser.add_argument(
        "--calibration",
        metavar="PLACE",
        type=Path,
        help=f"text that the model reads while it is quantized: a file or a folder of files, .txt or .jsonl; needed by "
        f"{', '.join(name for name, scheme in SCHEMES.items() if scheme.calibrates)}",
    )
    parser.add_argument("--samples", metavar="N", type=_positive, help=f"sequences of it (default {SAMPLES})")
    parser.add_argument(
        "--sequence-length", metavar="N", type=_positive, help=f"tokens of each (default {SEQUENCE_LENGTH})"
    )
    parser.add_argument(
        "--unless",
        metavar="FOLDER",
        type=Path,
        help="do nothing where this folder has the loader's manifest: the result is in the cache already",
    )
    options = parser.parse_args(arguments)
    scheme = SCHEMES[options.scheme]
    if scheme.calibrates and options.calibration is None:
        parser.error(f"--scheme {options.scheme} needs --calibration")
    if not scheme.calibrates:
        for name in ("calibration", "samples", "sequence_length"):
            if getattr(options, name) is not None:
                parser.error(f"--{name.replace('_', '-')}: {options.scheme} calibrates nothing; leave it out")
    if options.result.exists():
        parser.error(f"--result {options.result}: it is there already; name another folder, or remove it")
    if options.unless is not None and (options.unless / MANIFEST).exists():
        _say(f"nothing to do: {options.unless} is complete")
        return Exit.DONE
    calibration = None
    if scheme.calibrates:
        length = options.sequence_length or SEQUENCE_LENGTH
        calibration = Calibration(options.calibration, options.samples or SAMPLES, length)
    # Nothing is looked up on the hub: what is there is all there is.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        quantize(Request(options.base, options.result, options.scheme, calibration), _say)
    except QuantizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.PERMANENT
    _say(f"complete: {options.result}")
    return Exit.DONE


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def _say(text: str) -> None:
    print(f"llm-serving-quantize: {text}", flush=True)
