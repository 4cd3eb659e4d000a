"""Reading of a settings file from disk, for commands that run without the Pulumi engine."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from llm_serving.errors import LEAVE_OUT, Problem, ProblemsError, Suggestion, nearest
from stacks.documents import load_yaml
from stacks.settings.common import NAMESPACE
from stacks.settings.engine_reading import check_reading
from stacks.settings.models import Settings, scalar_types, setting_names
from stacks.settings.secrets import SECRETS, parse_with_secrets

ENCRYPTION = frozenset({"encryptionsalt", "encryptedkey", "secretsprovider"})
"""What Pulumi itself writes into a settings file, beside ``config``."""

FILE_KEYS = frozenset({"config", "environment", *ENCRYPTION})
"""What a settings file of Pulumi has ("Pulumi stack settings file reference", November 2026)."""

NAMESPACES = frozenset({NAMESPACE, "pulumi"})
"""Namespaces that are read: ours, and the engine's own (``pulumi:tags``). The stack configures its providers itself, so
that ``gcp:project`` would have no effect."""


def read_settings_file(path: Path) -> Settings:
    """The settings in a ``Pulumi.<stack>.yaml``.

    Raises:
        ProblemsError: naming the file and the property path of everything that is refused.
    """
    document: Any = load_yaml(path, check=lambda root: check_reading(root, scalar_types))
    config: Any = cast(dict[str, Any], document).get("config") if isinstance(document, dict) else None
    problems = [*_check_file_keys(cast(dict[str, Any], document))] if isinstance(document, dict) else []
    if not isinstance(config, dict):
        raise ProblemsError([*problems, Problem("config", None, "required, but not given")], path.name)
    items = cast(dict[str, Any], config)
    problems += _check_namespaces(items)
    if problems:
        raise ProblemsError(problems, path.name)
    prefix = f"{NAMESPACE}:"
    data = {key.removeprefix(prefix): value for key, value in items.items() if key.startswith(prefix)}
    return parse_with_secrets(data, path.name, _is_encrypted)


def _check_file_keys(document: Mapping[str, Any]) -> Iterator[Problem]:
    for key in document:
        if key not in FILE_KEYS:
            yield Problem(key, None, "unknown key of a settings file", nearest(key, FILE_KEYS).as_keys())


def _check_namespaces(config: Mapping[str, Any]) -> Iterator[Problem]:
    names = {*setting_names(), *(path.partition(".")[0] for path in SECRETS)}
    for key in config:
        namespace, colon, name = key.partition(":")
        if not colon:
            near = [key] if key in names else nearest(key, names).values
            suggestion = Suggestion(keys=[f"{NAMESPACE}:{known}" for known in near])
            yield Problem(key, None, "has no namespace", suggestion)
        elif namespace not in NAMESPACES:
            near = [name] if name in names else nearest(name, names).values
            suggestion = Suggestion(keys=[f"{NAMESPACE}:{known}" for known in near]) or LEAVE_OUT
            yield Problem(key, None, "is in a namespace that nothing of the stack reads", suggestion)


def _is_encrypted(path: str, value: Any) -> bool:
    """Pulumi writes an encrypted value as an object with one key."""
    return isinstance(value, dict) and "secure" in value
