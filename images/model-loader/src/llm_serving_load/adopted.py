"""What lies in a target, as a source: a copy that somebody else made."""

from llm_serving_load.sources import SourceFile
from llm_serving_load.streams import Stream
from llm_serving_load.targets import Target

ADOPTED = "adopted"
"""In the manifest, in place of a source's URL: nobody said where the copy is from."""


class AdoptedSource:
    """The files of a target, which knows no hashes of them."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @property
    def where(self) -> str:
        """The target."""
        return self._target.where

    def files(self) -> list[SourceFile]:
        """Every file that an engine might read."""
        return [SourceFile(name, size) for name, size in sorted(self._target.sizes().items())]

    def open(self, file: SourceFile, offset: int = 0) -> Stream:
        """The file from an offset on."""
        return self._target.open(file.name, offset)
