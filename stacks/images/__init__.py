"""Images of this repository for a registry: what a release file names, and clusters pull.

Owns what a build reads (``build_context``), the build (``buildx``), the lock that names every image by digest
(``lock``), the ways into it (``publish``: an upload to a registry, a tag's digest), and errors of images. Leaves alone:
the Dockerfiles (``images/``), and builds for this machine (``local.images``).
"""

from stacks.images.build_context import IMAGES, ImageError

__all__ = ["IMAGES", "ImageError"]
