"""``python -m llm_serving.launchers [FOLDER]``: the lines of ``digests.csv`` that today's sources give; writes the
archives to a folder where one is named, for images that are to have a launcher inside.
"""

import sys
from pathlib import Path

from llm_serving.launchers import launchers


def main() -> None:
    """Print, and write where asked to."""
    for launcher in launchers().values():
        print(f"{launcher.version},{launcher.digest}")
        for folder in sys.argv[1:]:
            (Path(folder) / launcher.file_name).write_bytes(launcher.archive)


if __name__ == "__main__":
    main()
