"""Programs that build images: docker where its daemon answers, else buildah."""

import os
import shutil
from collections.abc import Mapping

from local.images.builders.buildah import Buildah
from local.images.builders.docker import Docker
from local.images.builders.interface import BuildRequest, ImageBuilder, StoredImage, UnreadableLayerError
from local.images.cache import ImageCache
from stacks.docker import daemon_answers
from stacks.images import ImageError

__all__ = ["BuildRequest", "Buildah", "Docker", "ImageBuilder", "StoredImage", "UnreadableLayerError", "find_builder"]


def find_builder(cache: ImageCache, environment: Mapping[str, str] = os.environ) -> ImageBuilder:
    """The program that builds on this machine.

    Raises:
        ImageError: there is none, or the one that is there cannot be used by this user.
    """
    path = environment.get("PATH")
    docker = shutil.which("docker", path=path)
    if docker is not None and daemon_answers(docker, environment):
        return Docker(docker)
    buildah = shutil.which("buildah", path=path)
    if buildah is None:
        raise ImageError(
            "nothing here builds images: neither docker with a running daemon nor buildah (try: make setup-node)"
        )
    if os.geteuid() != 0:
        raise ImageError("buildah is used as root here (or start Docker, which builds for other users too)")
    return Buildah(buildah, cache.store, cache.work)
