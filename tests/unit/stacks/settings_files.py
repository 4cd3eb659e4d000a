"""Settings to start from: each test changes one thing of a stack that is fine."""

import copy
from pathlib import Path
from typing import Any

import yaml

from stacks.settings import NAMESPACE

REPOSITORY = Path(__file__).resolve().parents[3]


def settings_data(stack: str = "dev") -> dict[str, Any]:
    """Keys and values of a committed stack, without the namespace, to be changed at will."""
    document = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())
    return {key.removeprefix(f"{NAMESPACE}:"): copy.deepcopy(value) for key, value in document["config"].items()}


def write_settings(folder: Path, data: dict[str, Any], stack: str = "dev") -> Path:
    """Write settings as a Pulumi.<stack>.yaml and return its path."""
    path = folder / f"Pulumi.{stack}.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{NAMESPACE}:{key}": value for key, value in data.items()}}))
    return path


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set one property: ``pools[0].capacity[0].max``."""
    *steps, last = path.replace("[", ".[").split(".")
    target: Any = data
    for step in steps:
        target = target[int(step[1:-1])] if step.startswith("[") else target.setdefault(step, {})
    if last.startswith("["):
        index = int(last[1:-1])
        target[index:] = [value] if index >= len(target) else [value, *target[index + 1 :]]
    else:
        target[last] = value
