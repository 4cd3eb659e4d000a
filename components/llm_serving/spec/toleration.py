"""A Kubernetes toleration."""

from typing import Literal

from llm_serving.arguments import Frozen


class Toleration(Frozen):
    """The fields are those of core/v1."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
