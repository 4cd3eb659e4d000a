"""Reading of a settings file from disk, for commands that run without the Pulumi engine."""

from pathlib import Path
from typing import Any, cast

from llm_serving.errors import Problem, ProblemsError
from stacks.documents import load_yaml
from stacks.settings.models import NAMESPACE, Settings
from stacks.settings.secrets import parse_with_secrets


def read_settings_file(path: Path) -> Settings:
    """The settings in a ``Pulumi.<stack>.yaml``.

    Raises:
        ProblemsError: naming the file and the property path of everything that is refused.
    """
    document: Any = load_yaml(path)
    config: Any = cast(dict[str, Any], document).get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ProblemsError([Problem("config", None, "required, but not given")], path.name)
    prefix = f"{NAMESPACE}:"
    items = cast(dict[str, Any], config).items()
    data = {str(key)[len(prefix) :]: value for key, value in items if str(key).startswith(prefix)}
    return parse_with_secrets(data, path.name, _is_encrypted)


def _is_encrypted(path: str, value: Any) -> bool:
    """Pulumi writes an encrypted value as an object with one key."""
    return isinstance(value, dict) and "secure" in value
