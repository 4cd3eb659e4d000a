"""``python -m local``: see :mod:`local.cli`."""

from local.cli import main

main()
