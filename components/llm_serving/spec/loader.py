"""How weights come into the model cache."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from llm_serving.arguments import Frozen
from llm_serving.spec.names import SecretName
from llm_serving.spec.release import ImageReference
from llm_serving.spec.timeouts import DAY_SECONDS

HUB = "hf://"
"""Source: the Hugging Face hub."""

HUB_TOKEN_SECRET = "llm-serving-hub-token"
"""Name of the Secret that is made of a token of the hub, in each namespace whose models are loaded."""

TOKEN_KEY = "token"
"""Key of the token in such a Secret."""

Weights = Literal["external"]
"""Who brings the weights where no loader does: ``external`` for somebody that the stack does not know."""


class LoaderSpec(Frozen):
    """How weights come into the model cache.

    The Job that fills the model cache before an engine starts.
    """

    image: ImageReference
    """Image with the loader (`images/model-loader`)."""
    source: Annotated[str, StringConstraints(pattern=r"^(hf://|(file:///|gs://|s3://)[^\s]+)$")] = HUB
    """`hf://` (the default) for the Hugging Face hub; `gs://`, `s3://` or `file:///` for a mirror.

    Where weights come from: ``hf://`` for the Hugging Face hub, ``gs://bucket/prefix``, ``s3://bucket/prefix`` or
    ``file:///folder`` for a mirror, laid out as ``<repository>/<revision>``.
    """
    token_secret: SecretName | None = None
    """Secret in the team's namespace with the hub's token under the key `token`.

    Name of a Secret in the team's namespace with the hub's token under the key ``token``; for gated models.
    """
    timeout_seconds: Annotated[int, Field(ge=60, le=7 * DAY_SECONDS)] | None = None
    """Time in which the weights of one release must be there; left out: twice the planned time, and ten minutes.

    In the ten minutes, rights on a new bucket spread.
    """
