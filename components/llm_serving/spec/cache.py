"""What holds the models' weights on an existing cluster: a PersistentVolumeClaim."""

from typing import Annotated, Literal

from pydantic import Field

from llm_serving.arguments import Frozen
from llm_serving.spec.names import ObjectName


class CacheStorageSpec(Frozen):
    """A claim for the model cache that is made.

    A claim for the model cache that is made in the namespace of each team.
    """

    size_gib: Annotated[int, Field(ge=1, le=1024**2)]
    """Size in GiB."""
    storage_class: ObjectName | None = None
    """The cluster's storage class; left out: its default."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """`ReadWriteOnce` (the default), or `ReadWriteMany` where pods of several nodes read it.

    A class that cannot do that leaves the claim pending.
    """
