"""Adding of releases: a new file and its line in the lock, or neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from llm_serving.errors import Problem, ProblemsError, nearest
from llm_serving.spec import ReleaseSpec
from stacks.documents import dump_yaml, load_yaml, parse_yaml
from stacks.files import write_atomically
from stacks.images.lock import LockedImage, how_to_get_digest, read_images
from stacks.releases.checks import release_problems
from stacks.releases.from_model import (
    ReadModel,
    first_release,
    license_problems,
    model_notes,
    model_of,
    model_problems,
    stale_facts_problems,
    with_model,
)
from stacks.releases.store import (
    RELEASES,
    Release,
    display_path,
    free_version,
    read_lock,
    read_releases,
    release_of,
    releases_locked,
    write_lock,
)
from stacks.releases.versions import minor, precedence

_Data = dict[str, Any]

_TEXTS = frozenset(
    field.alias or name for name, field in ReleaseSpec.model_fields.items() if field.annotation == str | None
)
"""Keys of a release that take a text, a template among them, which need not be YAML."""


@dataclass(frozen=True)
class Added:
    """A release that was added.

    Attributes:
        release: what was written.
        notes: what its author should know although nothing is refused.
    """

    release: Release
    notes: tuple[str, ...]


def add_release(
    model: str,
    version: str,
    *,
    base: str | None = None,
    source: Path | None = None,
    read: ReadModel | None = None,
    changes: Sequence[str] = (),
    folder: Path = RELEASES,
) -> Added:
    """Write and lock release ``version`` of ``model``.

    Args:
        base: version of the same model to start from.
        source: file to start from, in place of ``base``; what it says of name and version must agree.
        read: the model, read from its own files; without ``base`` and ``source`` the release starts from it alone.
        changes: ``path=value`` each, in the spelling of release files, for example ``engine.version=0.33.0``. A value
            has the type of the one it replaces, and is read as YAML where it replaces none; ``null`` removes a key.

    Raises:
        ProblemsError: the release exists, what it starts from does not, or its content is refused. Nothing is written
            then.
    """
    with releases_locked(folder):
        known = read_releases(folder)
        path = folder / model / f"{version}.yaml"
        if (model, version) in known:
            hint = f"another version, for example {free_version(known, known[model, version].spec)}"
            raise ProblemsError(
                [Problem("", version, "exists already; releases are never changed", hint)], display_path(path)
            )
        images = read_images(folder)
        if base is not None:
            start = _start_from_release(folder, model, base, known)
        elif source is None and read is not None:
            start = first_release(read, images)
        else:
            start = _start_from_file(source)
        changed = _parse_changes(changes)
        begun = _read_into(start, read, changed)
        data, notes = _with_changes(begun, changed, images, display_path(path))
        data = _with_name_and_version(data, model, version, base, display_path(path))
        if read is not None and (missing := license_problems(read, data)):
            raise ProblemsError(missing, display_path(path))
        release = release_of(data, images, path.relative_to(folder).as_posix(), display_path(path))
        problems = [*_stale_image_problems(start, data, base), *release_problems(release.spec)]
        problems += stale_facts_problems(start, data) if read is None else model_problems(read, data)
        if problems:
            raise ProblemsError(problems, display_path(path))
        notes += _notes(release.spec, data, start, base, [other for name, other in known if name == model])
        notes += _image_notes(release, images)
        notes += [] if read is None else model_notes(read, data)
        _write(path, dump_yaml(data))
    return Added(release, tuple(notes))


def _write(path: Path, text: str) -> None:
    """File first, lock second: a crash in between leaves a whole file that is refused until ``stacks release lock``."""
    folder = path.parent.parent
    is_new_model = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    try:
        write_atomically(path, text, mode=0o644)
        write_lock(folder)
    except BaseException:
        if path.relative_to(folder).as_posix() not in read_lock(folder):
            path.unlink(missing_ok=True)
            if is_new_model:
                path.parent.rmdir()
        raise


def _start_from_release(folder: Path, model: str, base: str, known: Mapping[tuple[str, str], Release]) -> _Data:
    release = known.get((model, base))
    if release is None:
        versions = sorted((version for name, version in known if name == model), key=precedence)
        if versions:
            raise ProblemsError([Problem("--from", base, f"{model} has no such release", nearest(base, versions))])
        near = nearest(model, {name for name, _ in known})
        raise ProblemsError([Problem("MODEL", model, "has no releases to start from", f"--file, or one of {near}")])
    return cast(_Data, load_yaml(folder / release.file))


def _start_from_file(source: Path | None) -> _Data:
    if source is None:
        hint = "--model REPOSITORY, --from VERSION, or --file FILE"
        raise ProblemsError([Problem("--from", None, "nothing to start from", hint)])
    data = load_yaml(source, str(source))
    if not isinstance(data, dict):
        raise ProblemsError([Problem("", None, "not a release: a table of keys and values", "")], str(source))
    return cast(_Data, data)


def _read_into(start: _Data, read: ReadModel | None, changes: dict[str, str]) -> _Data:
    """What a release starts from, with the model that was read. A change that takes away the row of the catalog is
    part of that."""
    if read is None:
        return start
    if changes.get("model.architecture") == "null":
        del changes["model.architecture"]
        start = {**start, "model": {key: value for key, value in model_of(start).items() if key != "architecture"}}
    return with_model(start, read)


def _with_name_and_version(data: _Data, model: str, version: str, base: str | None, source: str) -> _Data:
    """The data with its own name and version in front. Those of a base are replaced, others must agree."""
    identity = {} if base is not None else {key: data[key] for key in ("name", "version") if key in data}
    for key, expected in (("name", model), ("version", version)):
        if str(identity.get(key, expected)) != expected:
            raise ProblemsError([Problem(key, identity[key], "differs from what is added", expected)], source)
    rest = {key: value for key, value in data.items() if key not in ("name", "version")}
    return {"name": model, "version": version, **rest}


def _parse_changes(changes: Sequence[str]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or not all(path.split(".")):
            raise ProblemsError([Problem("--set", change, "not a change", "path=value, as in engine.version=0.33.0")])
        if path in parsed:
            raise ProblemsError([Problem("--set", path, "is given twice")])
        parsed[path] = value
    return parsed


def _with_changes(
    start: _Data, changes: Mapping[str, str], images: Mapping[str, LockedImage], source: str
) -> tuple[_Data, list[str]]:
    """A copy of ``start`` with the changes, and with the image following the engine's version."""
    data = _copy(start)
    for path, text in changes.items():
        first, *rest = path.split(".")
        if first in ("name", "version"):
            raise ProblemsError([Problem(path, text, "is the release's own", "the argument of `add`")], source)
        field = ReleaseSpec.model_fields.get(first)
        _set_value(data, [(field.alias if field else None) or first, *rest], text, path, source)
    return data, _retag_image(start, data, changes, images)


def _set_value(data: _Data, steps: list[str], text: str, path: str, source: str) -> None:
    *groups, last = steps
    target = data
    for step in groups:
        inner = target.setdefault(step, {})
        if not isinstance(inner, dict):
            raise ProblemsError([Problem(path, text, f"{step} is not a group of keys", f"{step}=…")], source)
        target = cast(_Data, inner)
    replaced = target.get(last)
    takes_text = isinstance(replaced, str) or (not groups and last in _TEXTS)
    try:
        value = parse_yaml(text, f"--set {path}")
    except ProblemsError:
        if not takes_text:
            raise
        value = text
    if value is None:
        if last not in target:
            raise ProblemsError([Problem(path, None, "is not there and cannot be removed", nearest(last, target))])
        del target[last]
    elif isinstance(replaced, str) and not isinstance(value, dict | list):
        target[last] = text
    else:
        target[last] = value


def _retag_image(start: _Data, data: _Data, changes: Mapping[str, str], images: Mapping[str, LockedImage]) -> list[str]:
    """An image is the engine: a tag that names the version names the new one, unless somebody says otherwise; and so
    does a ``name@version``, where the lock has the new one."""
    before, after = _version(start), _version(data)
    image = data.get("image")
    if before == after or not before or any(path.startswith("image") for path in changes):
        return []
    if isinstance(image, str) and (new := image.replace(before, after)) in images:
        data["image"] = new
        return [f"image follows the engine's version: {image} is {new} now"]
    if not isinstance(image, dict):
        return []
    image = cast(_Data, image)
    tag = str(image.get("tag", ""))
    if before not in tag or image.get("digest"):
        return []
    image["tag"] = tag.replace(before, after)
    return [f"image.tag follows the engine's version: {tag} is {image['tag']} now"]


def _stale_image_problems(start: _Data, data: _Data, base: str | None) -> list[Problem]:
    before, after = _version(start), _version(data)
    if base is None or before == after or start.get("image") != data.get("image"):
        return []
    reason = f"is still the image of engine {before}, and the release's engine is {after}"
    image = start.get("image")
    if isinstance(image, str):
        new = image.replace(before, after) if before in image else "NAME@VERSION"
        how = f"stacks images pin {new} --image REPOSITORY:TAG, then --set image={new}"
        return [Problem("image", image, reason, how)]
    return [Problem("image", None, reason, "--set image.tag=… (and image.digest=…)")]


def _notes(spec: ReleaseSpec, data: _Data, start: _Data, base: str | None, versions: Sequence[str]) -> list[str]:
    notes: list[str] = []
    later = [
        other
        for other in versions
        if minor(other) == minor(spec.version) and precedence(other) > precedence(spec.version)
    ]
    if later:
        newest = max(later, key=precedence)
        notes.append(f"{spec.version} is below {newest}, which is there already: readers take the higher for the newer")
    if base is not None and _content(start) == _content(data):
        notes.append(f"nothing but the version differs from {base}: it will answer the same")
    return notes


def _image_notes(release: Release, images: Mapping[str, LockedImage]) -> list[str]:
    image = release.spec.image
    how = how_to_get_digest(image, release.image_name, images)
    return [f"image {release.image_name or image.reference} has no digest: {how}"] if how else []


def _content(data: _Data) -> _Data:
    return {key: value for key, value in data.items() if key not in ("name", "version")}


def _version(data: _Data) -> str:
    engine = data.get("engine")
    return str(cast(_Data, engine).get("version", "")) if isinstance(engine, dict) else ""


def _copy(data: _Data) -> _Data:
    return cast(_Data, parse_yaml(dump_yaml(data), ""))
