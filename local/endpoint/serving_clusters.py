"""Clusters that stack ``local`` can be served on: a node of its own on this machine, or one of a user's kubeconfig."""

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_serving.contract import LABEL_POOL
from llm_serving.spec import AddonSource, CacheStorageSpec
from local.cluster import AutoscalingOptions, ClusterError, LocalCluster, NodeOptions
from local.cluster.autoscaling.programs import FIXED_PORTS, PROMETHEUS
from local.cluster.rest import ApiError, Kubernetes, UnreachableError
from local.images import BuiltImage
from local.providers.kubernetes import kubeconfig as kubeconfigs
from local.state_folder import StateFolder
from stacks.files import write_atomically, write_json


class ServingCluster(ABC):
    """A cluster to serve on."""

    description: str
    """What a user reads."""

    clients: tuple[str, ...] = ()
    """Address ranges from which this machine reaches pods."""

    @abstractmethod
    def start(self, *, scales: bool = False, has_gateway: bool = False) -> None:
        """Make it run, where that is ours to do.

        Args:
            scales: some model scales, and what it needs for that is to be there.
            has_gateway: the stack has a gateway, and the definitions of the Gateway API are to be there.

        Raises:
            ClusterError: it does not.
        """

    def addons(self, *, scales: bool = False, has_gateway: bool = False) -> Mapping[str, str]:
        """Settings ``addons`` that hold for this cluster where the stack's file says nothing: what is there already.

        Args:
            scales: some model scales.
            has_gateway: the stack has a gateway. `start` has seen to the definitions of the Gateway API.
        """
        return {"gatewayApi": AddonSource.EXISTING.value} if has_gateway else {}

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
    def load_image(self, image: BuiltImage, archive: Path) -> None:
        """Bring an image onto its nodes.

        Raises:
            ClusterError: it does not get there.
        """

    @abstractmethod
    def service_address(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """Address of a Service from this machine, and a line that says how to get one where there is none."""


POOL = "cpu"
"""Name of its pool in ``Pulumi.local.yaml``: what the summary counts it under."""


class OwnNode(ServingCluster):
    """The node that this project starts on Linux."""

    def __init__(self, state: StateFolder) -> None:
        self.cluster = LocalCluster(state.cluster("local", "here", "local"))
        self._kubeconfig = state.root / "kubeconfig" / "local.json"
        self.description = "a Kubernetes node of its own on this machine"

    def start(self, *, scales: bool = False, has_gateway: bool = False) -> None:
        """Make it or start it again, with KEDA and Prometheus beside it where a model scales: their charts and images
        cannot be fetched from inside."""
        autoscaling = None
        if scales:
            # Imports the components, which other commands need not wait for.
            from local.endpoint.scraping import scrape_configurations

            autoscaling = AutoscalingOptions(scrape=scrape_configurations())
        self.cluster.create(node=NodeOptions(labels={LABEL_POOL: POOL}), autoscaling=autoscaling)
        if has_gateway:
            self.cluster.install_crds("gateway-api")
        self.clients = (f"{self.cluster.addresses().host}/32",)

    def addons(self, *, scales: bool = False, has_gateway: bool = False) -> Mapping[str, str]:
        """All of them are there already, or will be with the next ``make up``."""
        addons = dict(super().addons(scales=scales, has_gateway=has_gateway))
        if scales:
            existing = AddonSource.EXISTING.value
            prometheus = f"http://{self.cluster.addresses().node}:{FIXED_PORTS[PROMETHEUS]}"
            addons |= {"keda": existing, "monitoring": existing, "prometheusUrl": prometheus}
        return addons

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

    def load_image(self, image: BuiltImage, archive: Path) -> None:
        """Import it into containerd."""
        self.cluster.load_image(archive, tell=lambda line: print(f"      {line}", flush=True))

    def service_address(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """ClusterIPs are routed to the node."""
        return f"http://{address}:{port}", ""


@dataclass(frozen=True)
class Tool:
    """A program that makes clusters for trying things.

    Attributes:
        name: the program.
        context: start of the names of its contexts, the rest is the cluster's name; or the whole name, without a dash.
        load: its command that brings an image archive onto a cluster's nodes.
    """

    name: str
    context: str
    load: tuple[str, ...]

    def command(self, context: str, archive: Path) -> list[str]:
        """The command for one archive."""
        return [part.format(cluster=context.removeprefix(self.context), archive=archive) for part in self.load]

    def made(self, context: str) -> bool:
        """Whether a context's name says that this program made its cluster."""
        return context.startswith(self.context) if self.context.endswith("-") else context == self.context


TOOLS = (
    Tool("kind", "kind-", ("kind", "load", "image-archive", "{archive}", "--name", "{cluster}")),
    Tool("k3d", "k3d-", ("k3d", "image", "import", "{archive}", "--cluster", "{cluster}")),
    Tool("minikube", "minikube", ("minikube", "image", "load", "{archive}", "--profile", "minikube")),
)
"""A minikube profile of another name has a context of that name, which nothing tells from others."""

LOAD_SECONDS = 1800


class UsersCluster(ServingCluster):
    """A cluster of the user's kubeconfig."""

    def __init__(
        self, state: StateFolder, context: str, kubeconfig: str, tool: Tool | None, storage: CacheStorageSpec | None
    ) -> None:
        self.context = context
        self._storage = storage
        self._tool = tool
        self._text = kubeconfig
        self._file = state.root / "kubeconfig" / "local.json"
        self._remembered = state.root / "loaded-images"
        self.description = f"cluster {context!r} of your kubeconfig"

    def start(self, *, scales: bool = False, has_gateway: bool = False) -> None:
        """Only look whether it answers, and whether it can make the claim for the weights. What scales models is
        installed by the stack, as on any cluster."""
        try:
            self._uid = str(self.client().get("v1", "Namespace", "kube-system")["metadata"]["uid"])
            classes = self.client().list("storage.k8s.io/v1", "StorageClass")
            definition = self.client().find(*_TLS_ROUTE) if has_gateway else None
        except (ApiError, UnreachableError) as error:
            raise ClusterError(f"{self.description} does not answer: {error}") from None
        if self._storage is not None:
            _check_storage(self.description, self._storage.storage_class, classes)
        if has_gateway:
            _check_gateway_api(self.description, self.context, definition)

    def _loaded(self) -> Path:
        """A list for each cluster, not for each name: one that was made again holds nothing."""
        return self._remembered / f"{self._uid}.txt"

    def kubeconfig(self) -> Path:
        """The context alone, with everything that it needs."""
        write_atomically(self._file, self._text, mode=0o600)
        return self._file

    def client(self) -> Kubernetes:
        """With the context's own credentials."""
        try:
            return kubeconfigs.connect(kubeconfigs.read(self._text))
        except kubeconfigs.KubeconfigError as error:
            raise ClusterError(f"{self.description}: {error}") from None

    def images(self) -> dict[str, str]:
        """As far as this machine remembers: nodes list no images of a Docker daemon next to them."""
        return dict.fromkeys(self._loaded().read_text().split() if self._loaded().exists() else [], "")

    def load_image(self, image: BuiltImage, archive: Path) -> None:
        """By the program that made the cluster."""
        if self._tool is None:
            raise ClusterError(
                f"images that are built here cannot be brought to {self.description}. Push {image.reference} to a "
                "registry that it can pull from, and name it in Pulumi.local.yaml: llm-serving:engineImages, "
                "llm-serving:loader"
            )
        command = self._tool.command(self.context, archive)
        if shutil.which(command[0]) is None:
            raise ClusterError(f"{command[0]} is not on PATH; it brings images to {self.description}")
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOAD_SECONDS)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"`{' '.join(command)}` did not end within {LOAD_SECONDS} s") from None
        if done.returncode:
            raise ClusterError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        names = [*self.images(), image.reference]
        write_atomically(self._loaded(), "".join(f"{name}\n" for name in names))

    def service_address(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """Nothing is known of its network: a port must be forwarded."""
        forward = f"kubectl --context {self.context} -n {namespace} port-forward service/{service} {port}:{port}"
        return None, forward


def _check_storage(cluster: str, wanted: str | None, classes: list[dict[str, Any]]) -> None:
    """Refuse a cluster that would leave the claim for the weights pending."""
    names = [each["metadata"]["name"] for each in classes]
    mark = "storageclass.kubernetes.io/is-default-class"
    has_default = any((each["metadata"].get("annotations") or {}).get(mark) == "true" for each in classes)
    if wanted in names or (wanted is None and has_default):
        return
    lacks = "no default StorageClass" if wanted is None else f"no StorageClass {wanted!r}"
    raise ClusterError(
        f"{cluster} has {lacks} (there are: {', '.join(names) or 'none at all'}). Name one in Pulumi.local.yaml: "
        "llm-serving:cluster: {name: local, cacheStorage: {sizeGib: 1, storageClass: NAME}}"
    )


def _check_gateway_api(cluster: str, context: str, definition: Mapping[str, Any] | None) -> None:
    """Refuse a cluster on which the gateway's proxy would never become ready (docs/adr/0017-the-gateway-api-proxy.md).

    Args:
        cluster: as people read it.
        context: its context.
        definition: of TLSRoute; ``None`` where it has none.
    """
    versions = definition["spec"]["versions"] if definition is not None else ()
    if not any(version["name"] == "v1" and version["served"] for version in versions):
        raise ClusterError(
            f"{cluster} has no definitions of the Gateway API 1.5 or later, which the gateway needs. Install them: "
            f"kubectl --context {context} apply --server-side -f {GATEWAY_API}. Or leave llm-serving:gateway out of "
            "Pulumi.local.yaml"
        )


_TLS_ROUTE = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "tlsroutes.gateway.networking.k8s.io")
GATEWAY_API = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/standard-install.yaml"


def tool_of(context: str) -> Tool | None:
    """The program that made a context's cluster, as far as its name says."""
    return next((tool for tool in TOOLS if tool.made(context)), None)
