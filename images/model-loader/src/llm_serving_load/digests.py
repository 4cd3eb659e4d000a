"""Checksums of a file, computed while its bytes pass by."""

import hashlib
import importlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

SHA256 = "sha256"

_STRONGEST_FIRST = (SHA256, "crc32c", "crc32", "md5")


class _Digest(Protocol):
    def update(self, data: Any, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc32:
    """CRC-32 of zlib in the shape of the others."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview | bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc32c:
    """CRC-32C of the library that Google's client uses, which computes it with the processor's own instruction."""

    def __init__(self) -> None:
        self._extend: Callable[[int, Any], int] = importlib.import_module("google_crc32c").extend
        self._value = 0

    def update(self, data: memoryview | bytes) -> None:
        # The extension takes nothing but bytes (google-crc32c 1.9).
        self._value = self._extend(self._value, data if isinstance(data, bytes) else bytes(data))

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_MAKERS: Mapping[str, Callable[[], _Digest]] = {
    SHA256: hashlib.sha256,
    "crc32c": _Crc32c,
    "crc32": _Crc32,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}


class Digests:
    """Several checksums of the same bytes, by the names of their algorithms: sha256, crc32c, crc32, md5."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._digests = {name: _MAKERS[name]() for name in dict.fromkeys(algorithms)}

    def update(self, block: memoryview | bytes) -> None:
        """Take the next bytes."""
        for digest in self._digests.values():
            digest.update(block)

    def hexadecimal(self) -> dict[str, str]:
        """Each checksum of what was taken so far."""
        return {name: digest.digest().hex() for name, digest in self._digests.items()}


def strongest(checksums: Mapping[str, str]) -> str | None:
    """The algorithm to trust among those whose checksum is known; ``None`` where there is none."""
    return next((name for name in _STRONGEST_FIRST if name in checksums), None)


def agree(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool | None:
    """Whether two sets of checksums are of the same bytes; ``None`` where they have no algorithm in common."""
    shared = strongest({name: value for name, value in ours.items() if name in theirs})
    return None if shared is None else ours[shared] == theirs[shared]
