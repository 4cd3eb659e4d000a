"""Keys of the gateway: made here, and known by their hashes everywhere else."""

import hashlib
import re
import secrets

PREFIX = "sk-llm-"
"""How every key begins, so that people and scanners of secrets know one."""

_RANDOM_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def make_key() -> str:
    """A new key of 256 random bits, as a client sends it."""
    return f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"


def hash_key(key: str) -> str:
    """Its SHA-256, 64 hexadecimal digits, which settings have."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether a text has the form of a key."""
    return _FORM.fullmatch(text) is not None
