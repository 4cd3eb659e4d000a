"""The lock of images: one append-only file that names each image once.

``name@version`` leads to repository, tag, digest and a hash of the inputs. Entries are added; of one that is there only
what is missing is filled in, once: the digest, and the registry of an image that was in none. Releases and the loader
name an image by ``name@version``; what a release pins is this entry.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, cast

from llm_serving.arguments import parse
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion, nearest
from llm_serving.spec import ImageReference
from llm_serving.spec.forms import ENGINE_VERSION, INPUTS_HASH
from stacks.documents import dump_yaml, parse_bytes, parse_yaml
from stacks.files import folder_locked, write_atomically

LOCK = "images.lock.yaml"
"""Name of the file, beside the lock of releases."""

NOWHERE = "registry.invalid"
"""Registry of an image that has not been pushed yet. The top-level domain is reserved never to resolve (RFC 6761), so
nothing is ever pulled from it by mistake."""

NAME = r"[a-z0-9]+(?:[._-][a-z0-9]+)*@[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
"""``name@version``: a name that a registry takes as the end of a path, a version that it takes as a tag."""

_HEADER = (
    "# Images by name@version, written by `stacks images`. Entries are added; of one that is there only what is\n"
    f"# missing is filled in, once: the digest, and the registry of an image that is still at {NOWHERE}.\n"
)


class LockedImage(ImageReference):
    """An entry of the lock."""

    inputs: Annotated[str, INPUTS_HASH] | None = None
    """Hash of all that went into the image; ``None`` for images of other publishers."""
    version: Annotated[str, ENGINE_VERSION] | None = None
    """Version that another publisher's image says of itself, read when it was pinned; ``None`` where it says none."""

    @property
    def pushed(self) -> bool:
        """Whether the image is in a registry at all."""
        return not is_nowhere(self)

    def image(self) -> ImageReference:
        """What a release or a loader has of it."""
        return ImageReference(**self.model_dump(exclude={"inputs", "version"}))


def is_nowhere(image: ImageReference) -> bool:
    """Whether an image is in no registry yet."""
    return image.repository.split("/", 1)[0] == NOWHERE


def is_built_here(image: ImageReference) -> bool:
    """Whether an image was built on this machine, and is in no registry."""
    return image.repository.startswith("localhost/")


def push_command(name: str) -> str:
    """The command that brings an image of ours into a registry."""
    return f"stacks images push {name} --archive FILE --to REGISTRY"


def missing_digest(name: str, images: Mapping[str, LockedImage]) -> str:
    """The command that gives an entry the digest that it lacks."""
    return f"stacks images pin {name}" if images[name].pushed else push_command(name)


def how_to_get_digest(image: ImageReference, name: str | None, images: Mapping[str, LockedImage]) -> str:
    """What to do about an image that is pulled by its tag; empty where nothing is to be done: it has a digest, or was
    built on this machine.

    Args:
        image: what is pulled.
        name: the ``name@version`` by which a release or a loader asks for it; ``None`` where it is written out there,
            so that the lock alone changes nothing.
        images: the lock.
    """
    if image.digest or is_built_here(image):
        return ""
    if name is not None:
        return missing_digest(name, images)
    known = name_of(image, images)
    if known is None:
        return f"stacks images pin NAME@VERSION --image {image.reference}, then NAME@VERSION in its place"
    return f"{'' if images[known].digest else f'{missing_digest(known, images)}, then '}{known} in its place"


def name_of(image: ImageReference, images: Mapping[str, LockedImage]) -> str | None:
    """The ``name@version`` under which the lock has an image, with or without its digest; ``None`` where it has none
    such."""
    same = (name for name, entry in images.items() if (entry.repository, entry.tag) == (image.repository, image.tag))
    return next(same, None)


def is_name(value: Any) -> bool:
    """Whether a value is a ``name@version``."""
    return isinstance(value, str) and re.fullmatch(NAME, value) is not None


def read_images(folder: Path) -> dict[str, LockedImage]:
    """Every entry of the lock in a folder, by ``name@version``; none where there is no lock.

    Raises:
        ProblemsError: it is not a table of images.
    """
    path = folder / LOCK
    return dict(_images_in(path.read_bytes())) if path.exists() else {}


@lru_cache(maxsize=8)
def _images_in(content: bytes) -> Mapping[str, LockedImage]:
    """The entries of a lock with this content: a check of a stack asks for them several times."""
    return images_of(parse_bytes(content, LOCK), LOCK)


def images_of(data: Any, source: str) -> dict[str, LockedImage]:
    """The entries of a lock that was read already.

    Raises:
        ProblemsError: see :func:`read_images`.
    """
    if data is not None and not isinstance(data, dict):
        raise ProblemsError([Problem("", None, "not a table of images by name@version", "restore it")], source)
    images: dict[str, LockedImage] = {}
    for name, entry in (cast(dict[Any, Any], data) or {}).items():
        check_name(name, source)
        try:
            images[name] = parse(LockedImage, entry)
        except ProblemsError as error:
            raise ProblemsError([problem.under(name) for problem in error.problems], source) from None
    return images


def check_name(name: Any, source: str = "") -> None:
    """Refuse what is no ``name@version``.

    Raises:
        ProblemsError: it is none.
    """
    if not is_name(name):
        reason = "is no name@version: small letters, digits, '.', '_' and '-', then '@' and a tag"
        raise ProblemsError([Problem(str(name), None, reason, "model-loader@0.1.0")], source)


def lookup(name: Any, images: Mapping[str, LockedImage], path: str) -> LockedImage:
    """The entry that a text in a release or a settings file names.

    Args:
        name: the text.
        images: the lock.
        path: property path of the text, for messages.

    Raises:
        ProblemsError: the lock does not name it.
    """
    if name not in images:
        near = nearest(str(name), images)
        how = f"stacks images pin {name if is_name(name) else 'NAME@VERSION'} --image REPOSITORY:TAG adds one"
        hint = Suggestion(f"{near}; {how}" if near else how, values=near.values, needs=None if near else Needs.COMMAND)
        raise ProblemsError([Problem(path, name, f"no image of {LOCK}", hint)])
    return images[name]


def write_image(folder: Path, name: str, image: LockedImage) -> bool:
    """Write an entry, or fill in what is missing of it. Returns whether the lock changed.

    Raises:
        ProblemsError: the entry says something else already; nothing is written then.
    """
    check_name(name)
    with folder_locked(folder):
        images = read_images(folder)
        problem = change_refused(name, images[name], image) if name in images else None
        if problem is not None:
            raise ProblemsError([problem], LOCK)
        if images.get(name) == image:
            return False
        entries = {key: entry_data(entry) for key, entry in sorted({**images, name: image}.items())}
        write_atomically(folder / LOCK, _HEADER + dump_yaml(entries), mode=0o644)
        return True


def change_refused(name: str, before: LockedImage, after: LockedImage | None) -> Problem | None:
    """Why an entry may not become another; ``None`` where what was there stays."""
    if after is None:
        return Problem(name, None, "was removed; images are never removed from the lock", "restore it")
    kept = entry_data(before)
    if not before.pushed:
        # Where it is, under which tag, and what went in, is known once it is pushed.
        kept = {key: value for key, value in kept.items() if key not in ("repository", "tag", "inputs")}
    now = entry_data(after)
    for key, value in kept.items():
        if now.get(key) != value:
            version = "a new version of the image, under a name of its own"
            return Problem(f"{name}.{key}", now.get(key), f"is {value} in the lock, and is written once", version)
    if before.digest is not None and now.get("version") != kept.get("version"):
        # Releases that were locked since count the whole entry.
        return Problem(
            f"{name}.version", now.get("version"), "is written together with the digest alone", "leave it out"
        )
    return None


def history_problems(folder: Path, earlier: str) -> list[Problem]:
    """What of an earlier text of the lock is not there any more.

    Raises:
        ProblemsError: the lock, or the earlier one, is not a table of images.
    """
    present = read_images(folder)
    before = images_of(parse_yaml(earlier, LOCK), LOCK)
    problems = (change_refused(name, image, present.get(name)) for name, image in before.items())
    return [problem for problem in problems if problem is not None]


def entry_data(image: LockedImage) -> dict[str, Any]:
    """An entry as it stands in the file: what is not said is left out."""
    return image.model_dump(mode="json", by_alias=True, exclude_defaults=True)
