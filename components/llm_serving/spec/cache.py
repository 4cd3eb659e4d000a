"""What holds the models' weights: a bucket, or a claim on a cluster that is already there."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from llm_serving.arguments import Frozen

SHORTEST_SOFT_DELETE_DAYS = 7


def _soft_delete_days(days: int) -> int:
    if 0 < days < SHORTEST_SOFT_DELETE_DAYS:
        raise ValueError(
            f"Cloud Storage keeps deleted objects for {SHORTEST_SOFT_DELETE_DAYS} to 90 days, or, with 0, not at all"
        )
    return days


class ModelCacheSpec(Frozen):
    """Settings of the model cache.

    Attributes:
        soft_delete_days: how long deleted objects can be restored: 0, or 7 to 90 (Cloud Storage documentation, "Soft
            delete").
        noncurrent_days: how long an overwritten version of an object is kept.
        force_destroy: let ``pulumi destroy`` delete a bucket that still holds objects.
    """

    soft_delete_days: Annotated[int, Field(ge=0, le=90), AfterValidator(_soft_delete_days)] = 7
    noncurrent_days: Annotated[int, Field(ge=1)] = 14
    force_destroy: bool = False


class CacheStorageSpec(Frozen):
    """A claim for the model cache that is made in the namespace of each team.

    Attributes:
        size_gib: size in GiB.
        storage_class: the cluster's storage class; ``None`` for its default.
        access_mode: ``ReadWriteMany`` where pods of several nodes read it; a class that cannot do that leaves the claim
            pending.
    """

    size_gib: Annotated[int, Field(ge=1)]
    storage_class: str | None = None
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
