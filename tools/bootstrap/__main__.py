"""Runs the command line: `python -m tools.bootstrap`."""

import sys

from tools.bootstrap.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
