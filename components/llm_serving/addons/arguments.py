"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then
run ``python -m llm_serving.plugin arguments``."""

from typing import NotRequired, TypedDict


class AddonTolerationArgs(TypedDict):
    """A toleration; the fields are those of core/v1."""

    key: str
    """Key of the taint; empty, with `Exists`: every taint."""
    operator: NotRequired[str]
    """`Exists` (the default) or `Equal`."""
    value: NotRequired[str]
    """Value of the taint, with `Equal`."""
    effect: NotRequired[str]
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; left out: all of them."""


class GpuNodesArgs(TypedDict):
    """Nodes with GPUs, as a DaemonSet finds them: those of one pool."""

    node_selector: dict[str, str]
    """Labels of the nodes."""
    tolerations: NotRequired[list[AddonTolerationArgs]]
    """Taints of the nodes."""


class GpuExporterArgs(TypedDict):
    """Pods that tell the utilization of GPUs as NVIDIA's DCGM exporter does, and that somebody else runs."""

    namespace: str
    """Their namespace."""
    pods: dict[str, str]
    """Their labels."""
    port: str
    """Name of the port at which they answer `/metrics`."""
