"""A Kubernetes toleration."""

from typing import Literal

from llm_serving.arguments import Frozen


class Toleration(Frozen):
    """A toleration; the fields are those of core/v1."""

    key: str
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """`Exists` (the default) or `Equal`."""
    value: str | None = None
    """Value of the taint, with `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; left out: all of them."""
