"""Definitions of custom resources out of the pinned files: which folder holds them, and how they are read."""

from typing import Any

import yaml

from local.cluster.errors import ClusterError
from local.cluster.layout import tools


def _loader() -> Any:
    """A loader that reads a plain `=` as text. YAML 1.1 has a type of its own for it, which PyYAML resolves and cannot
    construct (yaml/pyyaml#89); Kubernetes reads text.
    """
    # Definitions with a whole pod in their schema have 20,000 lines: seconds, without libyaml.
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    made = type("DefinitionLoader", (fast,), {})
    made.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))
    return made


_LOADER = _loader()


def read(name: str) -> list[dict[str, Any]]:
    """The definitions in the folder ``name`` of those that ``make setup`` fills.

    Raises:
        ClusterError: there is no such folder, or it holds none.
    """
    folder = tools() / "crds" / name
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ClusterError(f"{folder} holds no definitions: run `make setup`")
    return [thing for file in files for thing in yaml.load_all(file.read_text(encoding="utf-8"), _LOADER) if thing]
