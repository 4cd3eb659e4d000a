"""What stack ``local`` needs of a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from local.cluster.rest import Kubernetes
from local.images import BuiltImage


class Target(ABC):
    """A cluster to serve on."""

    description: str
    """What a user reads."""

    clients: tuple[str, ...] = ()
    """Address ranges from which this machine reaches pods."""

    @abstractmethod
    def start(self, *, scales: bool = False) -> None:
        """Make it run, where that is ours to do.

        Args:
            scales: some model scales, and what it needs for that is to be there.

        Raises:
            ClusterError: it does not.
        """

    def addons(self) -> Mapping[str, str]:
        """Settings ``addons`` that hold for this cluster where a model scales and the stack's file says nothing."""
        return {}

    @abstractmethod
    def kubeconfig(self) -> Path:
        """A kubeconfig with one context, for its administrator."""

    @abstractmethod
    def client(self) -> Kubernetes:
        """A connection to its API server."""

    @abstractmethod
    def images(self) -> dict[str, str]:
        """Images that its nodes hold, as far as can be told: name -> id, empty where the id is not known."""

    @abstractmethod
    def load(self, image: BuiltImage, archive: Path) -> None:
        """Bring an image onto its nodes.

        Raises:
            ClusterError: it does not get there.
        """

    @abstractmethod
    def reach(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """Address of a Service from this machine, and a line that says how to get one where there is none."""
