"""The images of stack ``local``: built here, brought to the cluster, named in the run's settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import model
from local.cluster import ClusterError
from local.endpoint.target import Target
from local.home import Home
from local.images import BuiltImage
from local.images import Images as Builder
from local.model import ModelError

ENGINE, LOADER = "vllm", "tiny-model"
SOURCE = "/source"
"""Where the loader's image holds the models (``images/tiny-model``)."""


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        engine: image of the inference engine.
        loader: image of the loader, with the models that it loads.
    """

    engine: BuiltImage
    loader: BuiltImage

    def settings(self) -> dict[str, Any]:
        """Settings that name them."""
        return _settings(self.engine.reference, self.loader.reference)


def build(builder: Builder, models: Path) -> Built:
    """Build what changed.

    Args:
        builder: builds, and keeps what is built.
        models: folder of models, as :func:`make_models` leaves it.

    Raises:
        ImageError: a build fails, or there is no room for it.
    """
    return Built(engine=builder.build(ENGINE), loader=builder.build(LOADER, source=models))


def names_of(builder: Builder, models: Path) -> dict[str, Any]:
    """Settings that name the images as a build would leave them, without building.

    Args:
        builder: knows what goes into them.
        models: folder of models.
    """
    return _settings(builder.reference(ENGINE), builder.reference(LOADER, models))


def make_models(home: Home) -> Path:
    """The local model source: every variant of the tiny model, made once.

    Raises:
        ClusterError: it cannot be made, or what is there is damaged.
    """
    folder = home.root / "models"
    try:
        for variant in model.VARIANTS:
            model.make(folder, variant.seed)
    except ModelError as error:
        raise ClusterError(str(error)) from None
    return folder


def bring(target: Target, builder: Builder, wanted: Sequence[BuiltImage]) -> list[BuiltImage]:
    """Load what the cluster does not hold; returns those that were loaded.

    Args:
        target: the cluster.
        builder: who built them.
        wanted: images it must hold.

    Raises:
        ClusterError: an image does not get there.
    """
    there = target.images()
    missing = [image for image in wanted if image.reference not in there]
    for image in missing:
        # Layers that the cluster has already are not written again: a change of code gets there in seconds.
        known = set(there.values()) - {""}
        try:
            _load(target, builder, image, known)
        except ClusterError:
            if not known:
                raise
            _load(target, builder, image, set())  # it may list an image whose layers are gone
        there = target.images()
    return missing


def _load(target: Target, builder: Builder, image: BuiltImage, known: set[str]) -> None:
    archive = builder.archive(image, known_images=known)
    try:
        target.load(image, archive)
    finally:
        archive.unlink(missing_ok=True)


def _settings(engine: str, loader: str) -> dict[str, Any]:
    return {
        "engineImages": {"vllm": {**_reference(engine), "launcher": True}},
        "loader": {"image": _reference(loader), "source": f"file://{SOURCE}"},
    }


def _reference(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}
