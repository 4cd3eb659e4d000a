"""The node that this project starts on Linux, as a cluster to serve on."""

from pathlib import Path

from llm_serving.contract import POOL_LABEL
from local.cluster import LocalCluster, NodeOptions
from local.cluster.files import write_json
from local.cluster.rest import Kubernetes
from local.endpoint.target import Target
from local.home import Home
from local.images import BuiltImage

POOL = "cpu"
"""Name of its pool in ``Pulumi.local.yaml``: what the summary counts it under."""


class OwnNode(Target):
    """The node that this project starts on Linux."""

    def __init__(self, home: Home) -> None:
        self.cluster = LocalCluster(home.cluster("local", "here", "local"))
        self._kubeconfig = home.root / "kubeconfig" / "local.json"
        self.description = "a Kubernetes node of its own on this machine"

    def start(self) -> None:
        """Make it or start it again."""
        self.cluster.create(node=NodeOptions(labels={POOL_LABEL: POOL}))
        self.clients = (f"{self.cluster.addresses().host}/32",)

    def kubeconfig(self) -> Path:
        """The administrator's, by token."""
        write_json(self._kubeconfig, self.cluster.kubeconfig())  # readable by its owner only: it holds a token
        return self._kubeconfig

    def client(self) -> Kubernetes:
        """As administrator."""
        return self.cluster.client()

    def images(self) -> dict[str, str]:
        """What containerd lists."""
        return self.cluster.images()

    def load(self, image: BuiltImage, archive: Path) -> None:
        """Import it into containerd."""
        self.cluster.load_image(archive, tell=lambda line: print(f"      {line}", flush=True))

    def reach(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """ClusterIPs are routed to the node."""
        return f"http://{address}:{port}", ""
