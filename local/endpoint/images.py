"""The images of stack ``local``: built here, brought to the cluster, named in the run's settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import model
from local.cluster import ClusterError
from local.endpoint.serving_clusters import ServingCluster
from local.images import BuiltImage, LocalImages
from local.model import ModelError
from local.state_folder import StateFolder
from stacks.settings import ExistingSettings

ENGINE, LOADER = "vllm", "tiny-model"
SOURCE = "/source"
"""Where the loader's image holds the models (``images/tiny-model``)."""

_GATEWAY_RECIPES = {"image": "gateway", "proxyImage": "proxy", "routerImage": "router", "redisImage": "redis"}
"""What is built for each image of the gateway, by its setting."""


@dataclass(frozen=True)
class EndpointImages:
    """The images of the stack, built.

    Attributes:
        engine: image of the inference engine.
        loader: image of the loader, with the models that it loads.
        gateway: images of the gateway's parts, by the ``name@version`` by which the settings ask for them.
    """

    engine: BuiltImage
    loader: BuiltImage
    gateway: Mapping[str, BuiltImage] = field(default_factory=dict[str, BuiltImage])

    @property
    def all(self) -> tuple[BuiltImage, ...]:
        """What the nodes must hold."""
        return (self.engine, self.loader, *self.gateway.values())

    def settings(self) -> dict[str, Any]:
        """Settings that name them."""
        references = {name: image.reference for name, image in self.gateway.items()}
        return _settings(self.engine.reference, self.loader.reference, references)


def build(images: LocalImages, models: Path, gateway: Mapping[str, str]) -> EndpointImages:
    """Build what changed.

    Args:
        images: builds, and keeps what is built.
        models: folder of models, as :func:`make_models` leaves it.
        gateway: images of the gateway's parts, see :func:`gateway_images`.

    Raises:
        ImageError: a build fails, or there is no room for it.
    """
    return EndpointImages(
        engine=images.build(ENGINE),
        loader=images.build(LOADER, source=models),
        gateway={name: images.build(recipe) for name, recipe in gateway.items()},
    )


def image_settings(images: LocalImages, models: Path, gateway: Mapping[str, str]) -> dict[str, Any]:
    """Settings that name the images as a build would leave them, without building.

    Args:
        images: knows what goes into them.
        models: folder of models.
        gateway: images of the gateway's parts, see :func:`gateway_images`.
    """
    references = {name: images.reference(recipe) for name, recipe in gateway.items()}
    return _settings(images.reference(ENGINE), images.reference(LOADER, models), references)


def gateway_images(settings: ExistingSettings) -> Mapping[str, str]:
    """Images of the gateway's parts that the settings ask for by ``name@version`` and bring no other for: the name,
    and the recipe of what is built in its place."""
    names = {settings.image_name(f"gateway.{key}"): recipe for key, recipe in _GATEWAY_RECIPES.items()}
    return {name: recipe for name, recipe in names.items() if name is not None and name not in settings.images}


def make_models(state: StateFolder) -> Path:
    """The local model source: every variant of the tiny model, made once.

    Raises:
        ClusterError: it cannot be made, or what is there is damaged.
    """
    folder = state.root / "models"
    try:
        for variant in model.VARIANTS:
            model.make(folder, variant.seed)
    except ModelError as error:
        raise ClusterError(str(error)) from None
    return folder


def load_missing(cluster: ServingCluster, images: LocalImages, needed: Sequence[BuiltImage]) -> None:
    """Load onto the cluster's nodes what they do not hold.

    Args:
        cluster: what the stack is served on.
        images: who built them.
        needed: images that its nodes must hold.

    Raises:
        ClusterError: an image does not get there.
    """
    for image in needed:
        held = cluster.images()
        if image.reference in held:
            continue
        # Layers that the nodes have already are not written again: a change of code gets there in seconds.
        held_ids = set(held.values()) - {""}
        try:
            _load(cluster, images, image, held_ids)
        except ClusterError:
            if not held_ids:
                raise
            _load(cluster, images, image, set())  # a node may list an image whose layers are gone


def _load(cluster: ServingCluster, images: LocalImages, image: BuiltImage, known_images: set[str]) -> None:
    archive = images.archive(image, known_images=known_images)
    try:
        cluster.load_image(image, archive)
    finally:
        archive.unlink(missing_ok=True)


def _settings(engine: str, loader: str, gateway: Mapping[str, str]) -> dict[str, Any]:
    return {
        "engineImages": {"vllm": _reference(engine)},
        "loader": {"image": _reference(loader), "source": f"file://{SOURCE}"},
        **({"images": {name: _reference(image) for name, image in gateway.items()}} if gateway else {}),
    }


def _reference(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}
