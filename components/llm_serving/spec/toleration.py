"""A Kubernetes toleration."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.spec.kubernetes import LabelValue, check_label_key


def _check_taint_key(value: str) -> str:
    return value and check_label_key(value)


class Toleration(Frozen):
    """A toleration; the fields are those of core/v1."""

    key: Annotated[str, AfterValidator(_check_taint_key)]
    """Key of the taint; empty, with `Exists`: every taint."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """`Exists` (the default) or `Equal`."""
    value: LabelValue | None = None
    """Value of the taint, with `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; left out: all of them."""

    @model_validator(mode="after")
    def _value_has_meaning(self) -> Self:
        if self.operator == "Exists" and self.value:
            # core/v1 validation: the value of such a toleration must be empty.
            reason = "without meaning with operator Exists, which takes every value"
            edits = [{"operator": "Equal"}] if self.key else []
            raise ProblemsError([Problem("value", self.value, reason, Suggestion(removal=True, edits=edits))])
        if self.operator == "Equal" and not self.key:
            # core/v1 validation: an empty key needs operator Exists.
            every = Suggestion(edits=[{"operator": "Exists", "value": None}])
            raise ProblemsError([Problem("key", self.key, "empty, and Equal compares one taint's value", every)])
        return self
