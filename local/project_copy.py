"""The Pulumi project as the local clouds see it: a folder of its own, so that nothing of a local run is written into
the repository.

Pulumi writes how a stack's secrets are encrypted into ``Pulumi.<stack>.yaml``. A local run must not change the files
that people commit, nor ask the key service of a real cloud that they name, so the project file and the settings are
copied here before every run, without those keys; ``main`` and the virtual environment point back into the repository.
The salt that a local run wrote into the earlier copy is kept, and so are the copy's own secrets: what another key has
encrypted no local run can read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from llm_serving.arguments import plain
from llm_serving.errors import Problem, ProblemsError
from local.state_folder import REPOSITORY
from stacks.files import write_atomically
from stacks.images.lock import read_images
from stacks.releases import RELEASES
from stacks.settings import NAMESPACE
from stacks.settings.document import ENCRYPTION


def sync_project(state: Path, stack: str, source: Path = REPOSITORY, more: Mapping[str, Any] | None = None) -> Path:
    """Bring the copy under ``state`` up to date and return its folder.

    Args:
        state: root of the local clouds' state.
        stack: whose settings to copy; those of others may be in use by another run.
        source: folder with ``Pulumi.yaml`` and the settings; tests give one of their own.
        more: settings that this run adds to the copy or puts in the place of the file's own, with their namespace.
    """
    target = state / "project"
    target.mkdir(parents=True, exist_ok=True)
    project = _read(source / "Pulumi.yaml")
    project["main"] = str(REPOSITORY / "infra")
    project["runtime"]["options"]["virtualenv"] = str(REPOSITORY / ".venv")
    _write(target / "Pulumi.yaml", project)
    settings = f"Pulumi.{stack}.yaml"
    if not (source / settings).exists():
        known = ", ".join(sorted(path.name for path in source.glob("Pulumi.*.yaml")))
        raise FileNotFoundError(f"{settings}: no such file (try: {known})")
    sync_settings(source / settings, target / settings, more)
    return target


def sync_settings(source: Path, target: Path, more: Mapping[str, Any] | None = None) -> None:
    """Copy one settings file with what the run adds; secrets, and how they are encrypted, are the copy's own.

    Raises:
        ProblemsError: a secret of the file is encrypted with another key, and the copy has none in its place. What can
            be read is copied.
    """
    before = _read(target) if target.exists() else {}
    document = {key: value for key, value in _read(source).items() if key not in ENCRYPTION}
    unreadable, config = _part_secrets(document["config"])
    own, _ = _part_secrets(before.get("config") or {})
    document["config"] = {**_stand_in_images(config), **config, **(more or {})}
    for path, secret in own.items():
        _put(document["config"], path, secret)
    if "encryptionsalt" in before:
        document["encryptionsalt"] = before["encryptionsalt"]
    _write(target, document)
    missing = [".".join(path) for path in unreadable if path not in own]
    if missing:
        reason = "is encrypted with a key that a local run has not, which keeps secrets of its own"
        pulumi = f"pulumi --cwd {target.parent}"
        stack = target.name.removeprefix("Pulumi.").removesuffix(".yaml")
        set_one = f'eval "$(python -m local env)"; {pulumi} stack select --create {stack}; {pulumi} config set --path'
        raise ProblemsError(
            [Problem(path, None, reason, f"{set_one} --secret {path}") for path in missing], source=str(source)
        )


_Path = tuple[str, ...]
"""Keys from the outermost on."""


def _part_secrets(config: Mapping[str, Any]) -> tuple[dict[_Path, Any], dict[str, Any]]:
    """What of a configuration is encrypted, and the rest."""
    secrets: dict[_Path, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in config.items():
        if not isinstance(value, dict):
            rest[key] = value
        elif set(cast(dict[str, Any], value)) == {"secure"}:
            secrets[key,] = value
        else:
            inner, rest[key] = _part_secrets(cast(dict[str, Any], value))
            secrets |= {(key, *path): secret for path, secret in inner.items()}
    return secrets, rest


def _put(config: dict[str, Any], path: _Path, secret: Any) -> None:
    """Put a secret where nothing stands in the clear; one of an object that is gone goes with it."""
    for key in path[:-1]:
        if not isinstance(config.get(key), dict):
            return
        config = config[key]
    config.setdefault(path[-1], secret)


def _stand_in_images(config: Mapping[str, Any], releases: Path = RELEASES) -> dict[str, Any]:
    """The setting that gives images which are in no registry yet a name of this machine, where nodes are simulated and
    pull none: whoever looks at `prod` for the first time has pushed nothing. Real nodes of clusters that are there get
    real images, or the refusal."""
    if config.get(f"{NAMESPACE}:cloud") in (None, "existing"):
        return {}
    images = {
        name: plain(image.image().model_copy(update={"repository": f"localhost/llm-serving/{name.partition('@')[0]}"}))
        for name, image in read_images(releases).items()
        if not image.pushed
    }
    return {f"{NAMESPACE}:images": images} if images else {}


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(path.read_text(encoding="utf-8")))


def _write(path: Path, document: dict[str, Any]) -> None:
    write_atomically(path, yaml.safe_dump(document, sort_keys=False))
