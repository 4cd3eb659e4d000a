"""Images of this repository for a registry: what a release file names, and clusters pull.

Owns what a build reads (``build_context``), the build with its push (``publish``), and errors of images. Leaves alone:
the Dockerfiles (``images/``), and builds for this machine (``local.images``).
"""

from stacks.images.build_context import IMAGES, ImageError

__all__ = ["IMAGES", "ImageError"]
