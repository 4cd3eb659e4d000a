"""``config.json`` of published models, read from an installed package that carries them (aiconfigurator-core)."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def folder() -> Path | None:
    """Where the package has them; ``None`` where it is not installed, as on platforms that it has no wheel for."""
    package = find_spec("aiconfigurator_core")
    origin = package.origin if package else None
    return Path(origin).parent / "model_configs" if origin else None


def names() -> list[str]:
    """The models, as ``publisher--name``."""
    where = folder()
    files = where.glob("*_config.json") if where else ()
    named = (path.name.removesuffix("_config.json") for path in files)
    return sorted(name for name in named if not name.endswith("_hf_quant"))


def path(name: str) -> Path:
    """The file of one model."""
    where = folder()
    assert where is not None
    return where / f"{name}_config.json"


def config(name: str) -> dict[str, Any]:
    """The content of one model's file."""
    return json.loads(path(name).read_text())
