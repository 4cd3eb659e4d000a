"""A tiny Llama with random weights, for endpoints on a machine without a GPU.

Owns what the model is (``variants``), its tokenizer and chat template (``tokenizer``), its weights (``weights``) and
how it gets into a folder (``maker``). Nothing is trained and nothing is downloaded: the same seed gives the same
bytes everywhere, so that a release can name the model by a revision.
"""

from local.model.maker import Made, ModelError, make
from local.model.variants import REPOSITORY, VARIANTS, Shape, Variant

__all__ = ["REPOSITORY", "VARIANTS", "Made", "ModelError", "Shape", "Variant", "make"]
