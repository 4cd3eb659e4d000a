"""Names that are taken from outside: repositories, revisions and files."""

import re

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[0-9a-f]{40}")


def repository(value: str) -> str:
    """``org/name``.

    Raises:
        ValueError: it is not.
    """
    if not _REPOSITORY.fullmatch(value) or ".." in value:
        raise ValueError("it must be org/name, as in meta-llama/Llama-3.1-8B-Instruct")
    return value


def revision(value: str) -> str:
    """A commit; branches and tags move, and a release must not.

    Raises:
        ValueError: it is none.
    """
    if not _REVISION.fullmatch(value):
        raise ValueError("it must be a commit of 40 hexadecimal digits in lower case; a branch or tag may move")
    return value


def is_safe(name: str) -> bool:
    """Whether a file's name stays inside the folder that it is written to, and can be written at all."""
    parts = name.split("/")
    try:
        name.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can express
        return False
    return bool(name) and "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)
