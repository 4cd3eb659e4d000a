"""What is decided about a node when its cluster is created."""

import re
from dataclasses import dataclass, field

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class NodeOptions:
    """What to ask of a node.

    Attributes:
        name: its name in the cluster, a DNS label.
        labels: labels beside those that the kubelet sets itself.
        max_pods: how many pods it takes at most; the slot's range has addresses for 253.
    """

    name: str = "local-node"
    labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110

    def __post_init__(self) -> None:
        if not _DNS_LABEL.fullmatch(self.name):
            raise ValueError(
                f"node name {self.name!r} is no DNS label: lower-case letters, digits and '-' (63 at most)"
            )
        if not 1 <= self.max_pods <= 250:
            raise ValueError(f"node {self.name!r}: max_pods is {self.max_pods}, and must be from 1 to 250")


@dataclass(frozen=True)
class NodeFacts:
    """What was decided about a node.

    Attributes:
        name, labels, max_pods: see :class:`NodeOptions`.
        slot: number of its address slot; ``None`` until the first start has chosen one. It stays, because the
            cluster's objects hold addresses of it.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110
    slot: int | None = None

    @classmethod
    def of(cls, options: NodeOptions) -> "NodeFacts":
        """The facts of a node that is new."""
        return cls(options.name, dict(options.labels), options.max_pods)
