"""A cluster of the user's kubeconfig, as a cluster to serve on, and the programs that make such clusters."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.clouds.kubernetes import kubeconfig as kubeconfigs
from local.cluster import ClusterError
from local.cluster.files import write_atomically
from local.cluster.rest import ApiError, Kubernetes, UnreachableError
from local.endpoint.target import Target
from local.home import Home
from local.images import BuiltImage


@dataclass(frozen=True)
class Tool:
    """A program that makes clusters for trying things.

    Attributes:
        name: the program.
        context: start of the names of its contexts; the rest is the cluster's name.
        load: its command that brings an image archive onto a cluster's nodes.
    """

    name: str
    context: str
    load: tuple[str, ...]

    def command(self, context: str, archive: Path) -> list[str]:
        """The command for one archive."""
        cluster = context.removeprefix(self.context) or context
        return [part.format(cluster=cluster, archive=archive) for part in self.load]


TOOLS = (
    Tool("kind", "kind-", ("kind", "load", "image-archive", "{archive}", "--name", "{cluster}")),
    Tool("k3d", "k3d-", ("k3d", "image", "import", "{archive}", "--cluster", "{cluster}")),
    Tool("minikube", "minikube", ("minikube", "image", "load", "{archive}", "--profile", "minikube")),
)
"""A minikube profile of another name has a context of that name, which nothing tells from others."""

LOAD_SECONDS = 1800


class UsersCluster(Target):
    """A cluster of the user's kubeconfig."""

    def __init__(self, home: Home, context: str, kubeconfig: str, tool: Tool | None) -> None:
        self.context = context
        self._tool = tool
        self._text = kubeconfig
        self._file = home.root / "kubeconfig" / "local.json"
        self._loaded = home.root / "loaded-images" / f"{context.replace('/', '_')}.txt"
        self.description = f"cluster {context!r} of your kubeconfig"

    def start(self) -> None:
        """Only look whether it answers, and whether it can make the claim for the weights."""
        try:
            classes = self.client().list("storage.k8s.io/v1", "StorageClass")
        except (ApiError, UnreachableError) as error:
            raise ClusterError(f"{self.description} does not answer: {error}") from None
        marked = "storageclass.kubernetes.io/is-default-class"
        if not any((found["metadata"].get("annotations") or {}).get(marked) == "true" for found in classes):
            names = ", ".join(found["metadata"]["name"] for found in classes) or "none at all"
            raise ClusterError(
                f"{self.description} has no default StorageClass ({names}). Name one in Pulumi.local.yaml: "
                "llm-serving:cluster: {name: local, cacheStorage: {sizeGib: 1, storageClass: NAME}}"
            )

    def kubeconfig(self) -> Path:
        """The context alone, with everything that it needs."""
        write_atomically(self._file, self._text, mode=0o600)
        return self._file

    def client(self) -> Kubernetes:
        """With the context's own credentials."""
        return kubeconfigs.connect(kubeconfigs.read(self._text))

    def images(self) -> dict[str, str]:
        """As far as this machine remembers: nodes list no images of a Docker daemon next to them."""
        known = self._loaded.read_text().split() if self._loaded.exists() else []
        return dict.fromkeys(known, "")

    def load(self, image: BuiltImage, archive: Path) -> None:
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
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOAD_SECONDS)
        if done.returncode:
            raise ClusterError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
        known = self._loaded.read_text() if self._loaded.exists() else ""
        write_atomically(self._loaded, f"{known}{image.reference}\n")

    def reach(self, namespace: str, service: str, address: str, port: int) -> tuple[str | None, str]:
        """Nothing is known of its network: a port must be forwarded."""
        forward = f"kubectl --context {self.context} -n {namespace} port-forward service/{service} {port}:{port}"
        return None, forward


def tool_of(context: str) -> Tool | None:
    """The program that made a context's cluster, as far as its name says."""
    return next((tool for tool in TOOLS if context.startswith(tool.context)), None)
