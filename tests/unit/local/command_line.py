"""``python -m local``, in this process."""

import pytest

from local.cli import main


def exit_status(*arguments: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code
