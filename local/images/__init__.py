"""Container images of this repository, built here: without a registry, without a daemon where there is none.

Owns what is built (``recipes``), when (a hash over all inputs is the image's tag), with which program (``engines``),
the base image where there is no registry (``debootstrap``), archives for nodes to load, and the command that builds an
image for a registry (``release``). Leaves alone: what the images are (``images/``), and the node that runs them
(``local.cluster``).
"""

from local.images.builder import BuiltImage, Images
from local.images.errors import ImageError

__all__ = ["BuiltImage", "ImageError", "Images"]
