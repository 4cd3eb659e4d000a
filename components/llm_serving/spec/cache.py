"""What holds the models' weights on a cluster that is already there: a claim."""

from typing import Annotated, Literal

from pydantic import Field

from llm_serving.arguments import Frozen


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
