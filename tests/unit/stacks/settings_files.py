"""Settings to start from: each test changes one thing of a stack that is fine."""

import copy
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stacks.images.lock import LOCK, LockedImage, entry_data, read_images
from stacks.releases import RELEASES
from stacks.settings import NAMESPACE

REPOSITORY = Path(__file__).resolve().parents[3]


def settings_data(stack: str = "dev") -> dict[str, Any]:
    """Keys and values of a committed stack, without the namespace, to be changed at will; without its gateway, whose
    images are in no registry and which few tests are about."""
    return {key: value for key, value in data_with_gateway(stack).items() if key not in ("gateway", "images")}


def data_with_gateway(stack: str) -> dict[str, Any]:
    """All keys and values of a committed stack, to be changed at will. Its images are in a registry."""
    config = _document(stack)["config"]
    data = {key.removeprefix(f"{NAMESPACE}:"): copy.deepcopy(value) for key, value in config.items()}
    pushed = {
        name: {"repository": f"registry.example/{name.partition('@')[0]}", "tag": image.tag}
        for name, image in read_images(RELEASES).items()
        if not image.pushed
    }
    return {**data, "images": pushed}


@cache
def _document(stack: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())


def copy_releases(target: Path, **images: LockedImage) -> Path:
    """A copy of the committed releases, in which no image has a digest, whatever was pinned and pushed since.

    Args:
        target: the folder to make.
        images: entries of the lock of images, by their names at version 0.1.0, with ``_`` for ``-``.
    """
    shutil.copytree(RELEASES, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    loader = LockedImage(repository="registry.invalid/llm-serving/model-loader", tag="0.1.0")
    engine = LockedImage(repository="docker.io/vllm/vllm-openai", tag="v0.32.0")
    entries = {"model-loader@0.1.0": loader, "vllm-openai@0.32.0": engine}
    entries |= {f"{name.replace('_', '-')}@0.1.0": image for name, image in images.items()}
    (target / LOCK).write_text(yaml.safe_dump({name: entry_data(image) for name, image in entries.items()}))
    return target


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


def take_out(data: dict[str, Any], path: str) -> None:
    """Remove one property: ``pools[0].capacity[0].max``."""
    *steps, last = path.replace("[", ".[").split(".")
    target: Any = data
    for step in steps:
        target = target[int(step[1:-1])] if step.startswith("[") else target[step]
    del target[int(last[1:-1]) if last.startswith("[") else last]
