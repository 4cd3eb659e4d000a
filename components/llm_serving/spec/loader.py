"""How weights come into the model cache."""

from typing import Annotated

from pydantic import StringConstraints

from llm_serving.arguments import Frozen
from llm_serving.spec.release import ImageReference

HUB = "hf://"
"""Source: the Hugging Face hub."""


class LoaderSpec(Frozen):
    """The Job that fills the model cache before an engine starts.

    Attributes:
        image: image with the loader (``images/model-loader``).
        source: where weights come from: ``hf://`` for the Hugging Face hub, ``gs://bucket/prefix``, ``s3://bucket/prefix``
            or ``file:///folder`` for a mirror, laid out as ``<repository>/<revision>``.
        token_secret: name of a Secret in the team's namespace with the hub's token under the key ``token``; for gated
            models.
    """

    image: ImageReference
    source: Annotated[str, StringConstraints(pattern=r"^(hf://|(file:///|gs://|s3://)[^\s]+)$")] = HUB
    token_secret: str | None = None
