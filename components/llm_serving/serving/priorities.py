"""Who gives way to whom when capacity is short: the cluster's priority classes.

A pod that finds no room takes that of pods of lower priority: first of placeholders, then of ``batch``, then of
``standard``. Batch and placeholders take nobody's: they wait. All are below Kubernetes' own classes.

Owns the classes, which are the cluster's and not a team's. Leaves alone who uses which: a model's service class says.
"""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import meta, scheduling

from llm_serving.component import Frozen, child, token, validated
from llm_serving.spec import ServiceClass

PREFIX = "llm-serving"
PLACEHOLDER = f"{PREFIX}-placeholder"
"""Priority class of pods that hold nodes ready."""


@dataclass(frozen=True)
class _Priority:
    value: int
    preempts: bool
    description: str


# At most 1,000,000,000 for classes that are not Kubernetes' own. Pods without a class have 0. A cluster autoscaler adds
# no node for pods below -10 (its FAQ, "How does Cluster Autoscaler work with Pod Priority and Preemption?").
_PRIORITIES = {
    f"{PREFIX}-{ServiceClass.CRITICAL}": _Priority(100_000, True, "Models that give way to no other model"),
    f"{PREFIX}-{ServiceClass.STANDARD}": _Priority(10_000, True, "Models that give way to critical ones"),
    f"{PREFIX}-{ServiceClass.BATCH}": _Priority(1_000, False, "Models that give way to all others, and wait for room"),
    PLACEHOLDER: _Priority(-10, False, "Pods that hold nodes ready, and give way to every other pod"),
}


def priority_class(service_class: ServiceClass) -> str:
    """Name of the priority class of a model's pods."""
    return f"{PREFIX}-{service_class}"


class PriorityClassesArgs(TypedDict):
    """Arguments of `PriorityClasses`."""

    labels: NotRequired[dict[str, str]]
    """Labels of the classes."""


class PriorityClassesInputs(Frozen):
    """Arguments of :class:`PriorityClasses`, validated."""

    labels: dict[str, str] = {}


class PriorityClasses(pulumi.ComponentResource):
    """The priority classes that models and placeholders use, once a cluster."""

    names: pulumi.Output[list[str]]
    """Names of the classes, the highest first. Pods that use them wait for it."""

    def __init__(self, name: str, args: PriorityClassesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(PriorityClassesInputs, args, "PriorityClasses", name)
        super().__init__(token("PriorityClasses"), name, {}, opts)
        classes = [
            scheduling.v1.PriorityClass(
                f"{name}-{class_name.removeprefix(f'{PREFIX}-')}",
                metadata=meta.v1.ObjectMetaArgs(name=class_name, labels=inputs.labels),
                value=priority.value,
                preemption_policy="PreemptLowerPriority" if priority.preempts else "Never",
                description=priority.description,
                # Neither can be changed; pods that run keep the number that they started with.
                opts=child(self, replace_on_changes=["value", "preemptionPolicy"], delete_before_replace=True),
            )
            for class_name, priority in _PRIORITIES.items()
        ]
        self.names = pulumi.Output.all(*[each.metadata.apply(lambda metadata: metadata.name or "") for each in classes])
        self.register_outputs({"names": self.names})
