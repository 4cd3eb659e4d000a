"""Builds the images whose inputs have changed, each under a name that tells its inputs.

The tag is a hash over all that goes into the image: its Dockerfile, the files that it copies, build arguments, and the
base's own tag. An image of that name is therefore never built twice, and never stale.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from local.images import debootstrap, package_registries
from local.images.builders import BuildRequest, ImageBuilder, StoredImage, UnreadableLayerError, find_builder
from local.images.cache import ImageCache, check_room, gigabytes
from local.images.logged_commands import Say, elapsed
from local.images.recipes import BASE, RECIPES, REPOSITORY_NAME, Recipe
from stacks.files import file_locked
from stacks.images import ImageError, build_context

BASE_SETTING = "LLM_SERVING_BASE_IMAGE"
"""Variable that names a base image instead of ours, or of the one that the Dockerfiles name."""

_BASE_TIMEOUT_S = 600.0
_UNFINISHED = ".unfinished"
_Written = TypeVar("_Written")


@dataclass(frozen=True)
class BuiltImage:
    """An image that can be used.

    Attributes:
        name: see :data:`local.images.recipes.RECIPES`.
        reference: name and tag.
        image_id: digest of its configuration, ``sha256:...``: the id that Kubernetes shows.
        size_bytes: its layers, unpacked.
        seconds: how long getting it took.
        built: whether it was built now; else it was there.
        source: the folder that it was made from, where it needs one.
    """

    name: str
    reference: str
    image_id: str
    size_bytes: int
    seconds: float
    built: bool
    source: Path | None = None


class LocalImages:
    """The images of one cache.

    Args:
        cache: where they lie.
        recipes: what each is made of, by name.
        builder: the program that builds them; by default the one of this machine.
        say: gets lines of progress; by default they go to standard error.
        environment: this process's variables; tests give others.
    """

    def __init__(
        self,
        cache: ImageCache | None = None,
        *,
        recipes: Mapping[str, Recipe] = RECIPES,
        builder: ImageBuilder | None = None,
        say: Say | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._recipes = recipes
        self._environment = environment
        self._cache = cache or ImageCache.of(environment)
        self._builder = builder or find_builder(self._cache, environment)
        self._say = say or _to_stderr

    def build(self, name: str, source: Path | None = None) -> BuiltImage:
        """The image of that name, built where its inputs have changed.

        Args:
            name: ``base``, or one of :data:`local.images.recipes.RECIPES`.
            source: folder of models; for ``tiny-model``, which needs it.

        Raises:
            ImageError: it cannot be built; the message says why and what to do.
        """
        started = time.monotonic()
        reference = self.reference(name, source)
        image = self._builder.find(reference)
        built = image is None
        if image is None:
            with self._locked():
                image = self._builder.find(reference)  # another process may have built it meanwhile
                built = image is None
                if image is None:
                    # Nobody else builds meanwhile: what is there was left by a build that was killed.
                    shutil.rmtree(self._cache.work, ignore_errors=True)
                    image = self._build(name, source, reference)
        seconds = time.monotonic() - started
        if built:
            self._say(f"{name}: built in {elapsed(seconds)}, {gigabytes(image.size_bytes)}")
        return BuiltImage(name, reference, image.image_id, image.size_bytes, seconds, built, source)

    def names(self) -> list[str]:
        """What :meth:`build` builds, each after what it is based on. A base that a registry has is not among them."""
        return [*([] if self._has_public_base() else [BASE]), *self._recipes]

    def reference(self, name: str, source: Path | None = None) -> str:
        """The name and tag that the image has with today's inputs, whether or not it is there.

        Raises:
            ImageError: there is no image of that name, or one of its inputs is missing.
        """
        if name == BASE:
            return self._base_reference()
        recipe = self._recipe(name)
        root, sources = _inputs(recipe, source)
        arguments = self._arguments(recipe)
        values = [f"{key}={value}" for key, value in sorted(arguments.items())]
        tag = build_context.fingerprint(root, sources, *build_context.lines_of(_text(recipe)), *values)
        return f"{REPOSITORY_NAME}/{name}:{tag}"

    def archive(self, image: BuiltImage, folder: Path | None = None, *, known_images: Collection[str] = ()) -> Path:
        """Write the image as a file that a node can load.

        Args:
            image: what :meth:`build` returned.
            folder: where; by default in the cache.
            known_images: ids of images that the reader has. Layers of theirs are left out, where the program that
                builds can do that: after a change of code an archive has kilobytes instead of gigabytes.

        Returns:
            The file. It stays until someone removes it; an archive of the same image and content is not written again.
            An image that is gone or damaged meanwhile is built again first, and has another id then.

        Raises:
            ImageError: the image is gone and its inputs have changed, the disk is full, or the program failed.
        """
        return self._written(image, lambda stored: self._archive(image, stored, folder, known_images))

    def oci_archive(self, image: BuiltImage, target: Path) -> None:
        """Write the image as an OCI archive with all its layers, as ``stacks images push`` takes it.

        Raises:
            ImageError: as :meth:`archive`.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        log = self._cache.log(f"{image.name}-archive")
        self._written(image, lambda stored: self._builder.oci_archive(stored, target, log=log, say=self._say))

    def stored(self) -> list[StoredImage]:
        """Every image of ours that is there, whatever its inputs were."""
        return [image for image in map(self._builder.find, sorted(self._references())) if image is not None]

    def is_current(self, image: StoredImage) -> bool:
        """Whether today's inputs give this image. Of a model source it is the loader in it that is compared."""
        name = image.reference.removeprefix(f"{REPOSITORY_NAME}/").rpartition(":")[0]
        if name == BASE or (name in self._recipes and self._recipes[name].context is not None):
            return image.reference == self.reference(name)
        if name in self._recipes:
            loaders = [self._builder.find(reference) for reference in self._base_references(self._recipes[name])]
            return any(base is not None and image.layers[: len(base.layers)] == base.layers for base in loaders)
        return False

    def clean(self, *, everything: bool = False) -> list[str]:
        """Remove the archives, and the images that today's inputs do not give (or all); return their names."""
        with self._locked():
            gone = [image.reference for image in self.stored() if everything or not self.is_current(image)]
            self._builder.remove(gone)
            for folder in (self._cache.archives, self._cache.work):
                if folder.exists():
                    shutil.rmtree(folder)
        return gone

    def _written(self, image: BuiltImage, write: Callable[[StoredImage], _Written]) -> _Written:
        """What ``write`` makes of the image; damaged layers are built anew, each once."""
        damaged: set[str] = set()
        while True:
            try:
                return write(self._kept(image))
            except UnreadableLayerError as error:
                if error.layer in damaged:
                    raise
                damaged.add(error.layer)
                # Files of the store lie open to every program of the machine: one that adds a certificate authority to
                # each bundle that it finds is enough.
                self._say(f"{image.name}: layer {error.layer} is damaged; the images that have it are built again")
                with self._locked():
                    self._builder.remove([each.reference for each in self.stored() if error.layer in each.layers])

    def _kept(self, image: BuiltImage) -> StoredImage:
        stored = self._builder.find(image.reference)
        if stored is None and self.reference(image.name, image.source) == image.reference:
            self.build(image.name, image.source)
            stored = self._builder.find(image.reference)
        if stored is None:
            raise ImageError(f"{image.reference} is not there any more, and today's inputs give another (build it)")
        return stored

    def _archive(
        self, image: BuiltImage, stored: StoredImage, folder: Path | None, known_images: Collection[str]
    ) -> Path:
        folder = folder or self._cache.archives
        folder.mkdir(parents=True, exist_ok=True)
        known = self._layers_of(known_images) & set(stored.layers)
        tag = image.reference.rpartition(":")[2]
        target = folder / (
            f"{image.name}-{tag}-{build_context.digest_of(sorted(known))}.tar" if known else f"{image.name}-{tag}.tar"
        )
        if target.exists():
            return target
        with self._locked():
            started = time.monotonic()
            unfinished = folder / _UNFINISHED
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                log = self._cache.log(f"{image.name}-archive")
                partial = unfinished / target.name
                self._builder.archive(stored, partial, skip_layers=known, log=log, say=self._say)
                partial.replace(target)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        size = gigabytes(target.stat().st_size)
        self._say(f"{image.name}: archive written in {elapsed(time.monotonic() - started)}, {size}")
        return target

    def _recipe(self, name: str) -> Recipe:
        if name not in self._recipes:
            raise ImageError(f"there is no image {name!r} (try: {', '.join([BASE, *self._recipes])})")
        return self._recipes[name]

    def _base_reference(self) -> str:
        named = self._environment.get(BASE_SETTING)
        if named:
            return named
        if self._builder.public_base:
            return build_context.arguments_of(_text(RECIPES["model-loader"]))["BASE_IMAGE"]
        return f"{REPOSITORY_NAME}/{BASE}:{build_context.digest_of(debootstrap.recipe(debootstrap.distribution()))}"

    def _base_references(self, recipe: Recipe) -> list[str]:
        return [self.reference(name) for name in dict.fromkeys(recipe.bases.values())]

    def _has_public_base(self) -> bool:
        return self._builder.public_base or bool(self._environment.get(BASE_SETTING))

    def _arguments(self, recipe: Recipe) -> dict[str, str]:
        public = recipe.public_arguments if self._has_public_base() else {}
        return {**{key: self.reference(name) for key, name in recipe.bases.items()}, **recipe.arguments, **public}

    def _build(self, name: str, source: Path | None, reference: str) -> StoredImage:
        self._cache.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self._cache.work) as scratch:
            folder = Path(scratch)
            if name == BASE:
                build, timeout_s = self._base_build(reference, folder), _BASE_TIMEOUT_S
            else:
                recipe = self._recipe(name)
                build, timeout_s = self._recipe_build(recipe, source, reference, folder), recipe.timeout_s
            self._say(f"{name}: building {reference} with {self._builder.name}")
            doing, log = f"the build of {name}", self._cache.log(name)
            self._builder.build(build, doing=doing, log=log, timeout_s=timeout_s, say=self._say)
        image = self._builder.find(reference)
        if image is None:
            raise ImageError(f"{self._builder.name} built {reference}, but does not find it")
        return image

    def _base_build(self, reference: str, folder: Path) -> BuildRequest:
        if self._has_public_base():
            raise ImageError(f"the base image is {reference}, which comes from a registry: it is not built here")
        check_room(self._cache.root, debootstrap.NEEDED_BYTES, "the base image")
        distribution = debootstrap.distribution()
        self._say(f"{BASE}: making {distribution.identity} {distribution.suite} with debootstrap")
        context = folder / "context"
        debootstrap.make_context(distribution, context, log=self._cache.log("debootstrap"), say=self._say)
        return BuildRequest(reference, context / "Dockerfile", context)

    def _recipe_build(self, recipe: Recipe, source: Path | None, reference: str, folder: Path) -> BuildRequest:
        for name in dict.fromkeys(recipe.bases.values()):
            base = self.reference(name)
            if name not in self.names():
                continue  # fetched by the build
            if self._builder.find(base) is None:
                self._build(name, None, base)
        check_room(self._cache.root, recipe.needed_bytes, f"the build of {recipe.name}")
        root, sources = _inputs(recipe, source)
        build_context.stage(root, sources, folder / "context")
        arguments = {**self._arguments(recipe), "VERSION": f"0.0.0+{reference.rpartition(':')[2]}"}
        declared = build_context.arguments_of(_text(recipe))
        return BuildRequest(
            reference,
            recipe.dockerfile,
            folder / "context",
            {key: value for key, value in arguments.items() if key in declared},
            package_registries.write_secrets(folder / "secrets", self._environment, self._apt_sources()),
            pull=self._has_public_base(),
        )

    def _apt_sources(self) -> str | None:
        return None if self._has_public_base() else debootstrap.apt_sources(debootstrap.distribution())

    def _layers_of(self, image_ids: Collection[str]) -> set[str]:
        references = self._references() if image_ids else {}
        images = [self._builder.find(reference) for reference, image_id in references.items() if image_id in image_ids]
        return {layer for image in images if image is not None for layer in image.layers}

    def _references(self) -> dict[str, str]:
        """Reference -> image id of every image of ours that is there."""
        return self._builder.stored(f"{REPOSITORY_NAME}/")

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else changes images of this cache meanwhile."""
        return file_locked(self._cache.lock, lambda: self._say("another build of images is at it; waiting"))


def _inputs(recipe: Recipe, source: Path | None) -> tuple[Path, list[str]]:
    root = recipe.context or source
    if root is None:
        raise ImageError(f"{recipe.name}: name the folder that it is made from (--source DIR)")
    return root, build_context.sources_of(_text(recipe), recipe.arguments)


def _text(recipe: Recipe) -> str:
    try:
        return recipe.dockerfile.read_text(encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{recipe.name}: {recipe.dockerfile}: {error.strerror}") from error


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
