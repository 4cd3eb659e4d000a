"""Container images of this repository, built here: without a registry, without a daemon where there is none.

Owns what is built (``recipes``), when (a hash over all inputs is the image's tag), with which program (``builders``),
the base image where there is no registry (``debootstrap``), and archives for nodes to load. Leaves alone: what the
images are (``images/``), builds for a registry (``stacks.images``), and the node that runs them (``local.cluster``).
"""

from local.images.local_images import BuiltImage, LocalImages
from stacks.images import ImageError

__all__ = ["BuiltImage", "ImageError", "LocalImages"]
