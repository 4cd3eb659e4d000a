"""All bytes of one file of a source, hashed on their way."""

import mmap
from collections.abc import Callable, Mapping

from llm_serving_load.digests import SHA256, Digests, agree, strongest
from llm_serving_load.errors import StoppedError, TemporaryError
from llm_serving_load.sources import Source, SourceFile

_BLOCK = 512 * 1024
"""Fits into a core's own cache (1 MiB and more), so that what was just read is written and hashed from there. With
2 MiB the same copy took twice the processor's time; with 256 KiB a tenth more."""
_NAMES = {SHA256: "SHA-256", "crc32c": "CRC-32C", "crc32": "CRC-32", "md5": "MD5"}


class DamagedError(Exception):
    """What was read is not what the source promises."""

    def __init__(self, message: str, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


def transfer(
    source: Source,
    file: SourceFile,
    ended: Callable[[], bool],
    write: Callable[[memoryview], None] | None = None,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Read the whole file, hash it, and write it where ``write`` is given.

    Returns:
        its checksums by algorithm: SHA-256, and the best of those that are ``known`` elsewhere.

    Raises:
        DamagedError: it is not what the source promises.
        TemporaryError: it has another size than was announced.
        StoppedError: ``ended`` says so.
    """
    promised = file.promised
    wanted = {SHA256, strongest(promised) or SHA256, strongest(known or {}) or SHA256}
    digests, copied = Digests(sorted(wanted)), 0
    # Of whole pages, which the kernel copies faster than what begins inside one.
    buffer = memoryview(mmap.mmap(-1, min(_BLOCK, file.size + 1)))
    stream = source.open(file)
    try:
        while True:
            if ended():
                raise StoppedError
            count = stream.readinto(buffer)
            if not count:
                break
            if write is not None:
                write(buffer[:count])
            digests.update(buffer[:count])
            copied += count
    finally:
        stream.close()
    if copied != file.size:
        raise TemporaryError(
            f"{source.where}/{file.name}: it has {copied} bytes, and {file.size} were announced; it changed while it "
            "was read, load again"
        )
    computed = digests.hexadecimal()
    if agree(computed, promised) is False:
        kind = strongest(promised) or SHA256
        raise DamagedError(
            f"{source.where}/{file.name}: its {_NAMES[kind]} is {computed[kind]}, and the source promises "
            f"{promised[kind]}",
            computed[SHA256],
        )
    return computed
