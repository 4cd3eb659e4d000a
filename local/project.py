"""The Pulumi project as the local clouds see it: a folder of its own, so that nothing of a local run is written into
the repository.

Pulumi writes the salt of its passphrase secrets into ``Pulumi.<stack>.yaml``. A local run must not change the files
that people commit, so the project file and the settings are copied here before every run; ``main`` and the virtual
environment point back into the repository. The salt of an earlier copy is kept.
"""

import os
from pathlib import Path
from typing import Any, cast

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent


def sync_project(state: Path, source: Path = REPOSITORY) -> Path:
    """Bring the copy under ``state`` up to date and return its folder.

    Args:
        state: root of the local clouds' state.
        source: folder with ``Pulumi.yaml`` and the settings; tests give one of their own.
    """
    target = state / "project"
    target.mkdir(parents=True, exist_ok=True)
    project = _read(source / "Pulumi.yaml")
    project["main"] = str(REPOSITORY / "infra")
    project["runtime"]["options"]["virtualenv"] = str(REPOSITORY / ".venv")
    _write(target / "Pulumi.yaml", project)
    for settings in sorted(source.glob("Pulumi.*.yaml")):
        sync_settings(settings, target / settings.name)
    return target


def sync_settings(source: Path, target: Path) -> None:
    """Copy one settings file and keep the salt that Pulumi wrote into the earlier copy."""
    salt = _read(target).get("encryptionsalt") if target.exists() else None
    document = _read(source)
    if salt is not None:
        document["encryptionsalt"] = salt
    _write(target, document)


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(path.read_text(encoding="utf-8")))


def _write(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    os.replace(temporary, path)
