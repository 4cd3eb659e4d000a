"""``python -m stacks``: the same as the ``stacks`` program."""

from stacks.cli import main

main()
