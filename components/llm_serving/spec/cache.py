"""The bucket that holds the models' weights."""

from typing import Annotated

from pydantic import Field

from llm_serving.arguments import Frozen


class ModelCacheSpec(Frozen):
    """Settings of the model cache.

    Attributes:
        soft_delete_days: how long deleted objects can be restored.
        noncurrent_days: how long an overwritten version of an object is kept.
        force_destroy: let ``pulumi destroy`` delete a bucket that still holds objects.
    """

    soft_delete_days: Annotated[int, Field(ge=0, le=90)] = 7
    noncurrent_days: Annotated[int, Field(ge=1)] = 14
    force_destroy: bool = False
