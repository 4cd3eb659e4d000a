"""The node that this project starts on Linux, as a cluster to serve on."""

from collections.abc import Mapping
from pathlib import Path

from llm_serving.contract import LABEL_POOL
from llm_serving.spec import AddonSource
from local.cluster import AutoscalingOptions, LocalCluster, NodeOptions
from local.cluster.autoscaling.programs import FIXED_PORTS, PROMETHEUS
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

    def start(self, *, scales: bool = False) -> None:
        """Make it or start it again, with KEDA and Prometheus beside it where a model scales: their charts and images
        cannot be fetched from inside."""
        autoscaling = None
        if scales:
            # Imports the components, which other commands need not wait for.
            from local.endpoint.scraping import scrape_configurations

            autoscaling = AutoscalingOptions(scrape=scrape_configurations())
        self.cluster.create(node=NodeOptions(labels={LABEL_POOL: POOL}), autoscaling=autoscaling)
        self.clients = (f"{self.cluster.addresses().host}/32",)

    def addons(self) -> Mapping[str, str]:
        """All of them are there already, or will be with the next ``make up``."""
        existing = AddonSource.EXISTING.value
        prometheus = f"http://{self.cluster.addresses().node}:{FIXED_PORTS[PROMETHEUS]}"
        return {"keda": existing, "monitoring": existing, "prometheusUrl": prometheus}

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
