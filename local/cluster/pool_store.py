"""What is wanted of each node pool, a file each: the cluster's owner writes it, the pool controller acts on it."""

import re
from dataclasses import replace
from pathlib import Path

from llm_serving.planning.simulation.node_pool import NodePool
from stacks.files import read_json, write_json


def write(folder: Path, pool: NodePool) -> None:
    """Keep what is wanted of a pool."""
    write_json(_file(folder, pool.name), pool.to_json())


def read_all(folder: Path) -> list[NodePool]:
    """Every pool that is known, also those being removed, by name."""
    contents = (read_json(path) for path in sorted(folder.glob("*.json")))
    return [NodePool.from_json(data) for data in contents if data is not None]


def is_known(folder: Path, name: str) -> bool:
    """The pool's file is there: it is wanted, or its nodes are not gone yet."""
    return _file(folder, name).exists()


def mark_deleted(folder: Path, name: str) -> bool:
    """Want the pool gone; say whether it was known."""
    data = read_json(_file(folder, name))
    if data is None:
        return False
    write(folder, replace(NodePool.from_json(data), deleted=True))
    return True


def forget(folder: Path, name: str) -> None:
    """The pool's nodes are gone: so is the pool."""
    _file(folder, name).unlink(missing_ok=True)


def _file(folder: Path, name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,200}[A-Za-z0-9])?", name):
        raise ValueError(f"{name!r} cannot be a pool's name")
    return folder / f"{name}.json"
