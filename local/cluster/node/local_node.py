"""A cluster's node as this machine sees it: before it starts, while it runs, and what is left of it."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_serving.planning.simulation.node_pool import is_ready
from local.cluster import rest
from local.cluster.config import ClusterConfig
from local.cluster.errors import ClusterError, with_log
from local.cluster.layout import Layout
from local.cluster.node import addons, archives, configuration, images, machine, paths, requirements
from local.cluster.node.name_service import resolve
from local.cluster.node.proc import Memory, memory
from local.cluster.node.programs import KUBELET
from local.cluster.processes import Process
from stacks.files import read_json

READY_SECONDS = 120.0
"""How long node and name service may take once the control plane is up: seconds on an idle machine."""
_KNOWN_NAME = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class NodeHealth:
    """How a node fares.

    Attributes:
        name: its name.
        problem: why it is not ready; ``None`` where its kubelet says that it is, and its name service answers.
        pods: pods that run on it.
        images: names of its images.
        memory: what its namespaces hold.
    """

    name: str
    problem: str | None
    pods: int
    images: tuple[str, ...]
    memory: Memory


class LocalNode:
    """The node of one cluster. Making the handle touches nothing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    # Before and after

    def prepare(self, config: ClusterConfig) -> ClusterConfig:
        """Take the address slot and write what the programs read; return the configuration with what was decided.

        Raises:
            ClusterError: the machine lacks something, or the ranges are in use.
        """
        assert config.node is not None
        slot = machine.reserve(self._layout.root, config.node.slot)
        config = config.with_slot(slot).with_ports(paths.PORTS)
        config.write(self._layout)
        assert config.node is not None
        configuration.write(self._layout, config.node, slot)
        return config

    def clear(self, config: ClusterConfig) -> None:
        """End what a killed owner of the namespaces left, and remove everything of the node from the machine.

        Raises:
            ClusterError: something cannot be removed.
        """
        init = self._init()
        if init is not None and init.alive():
            init.send(signal.SIGKILL)
            init.wait(10.0)
        self._layout.init.unlink(missing_ok=True)
        if config.node is not None and config.node.slot is not None:
            machine.clear(self._layout.root, config.node.slot)

    def has_ended(self) -> bool:
        """The first process of its namespaces was noted and has gone."""
        init = self._init()
        return init is not None and not init.alive()

    # Inside

    def entering(self, command: Sequence[str]) -> list[str]:
        """The command line that runs ``command`` in the node's namespaces.

        Raises:
            ClusterError: the node does not run.
        """
        init = self._init()
        if init is None or not init.alive():
            raise ClusterError(f"the node of the cluster in {self._layout.root} does not run: start the cluster")
        return [
            *(requirements.find("nsenter"), f"--target={init.pid}", "--pid", "--mount", "--net", "--"),
            *("env", f"PATH={requirements.search_path()}", *command),
        ]

    def run(self, command: Sequence[str], *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside; the caller reads the exit status."""
        return subprocess.run(
            self.entering(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def load_image(self, archive: Path, tell: Callable[[str], None]) -> bool:
        """Load an archive's images unless they are there; see :func:`images.load`."""
        return images.load(self.entering, archive, tell)

    def images(self) -> dict[str, str]:
        """Reference -> image id."""
        return images.loaded(self.entering)

    # Coming up

    def install_addons(self, config: ClusterConfig, client: rest.Kubernetes) -> None:
        """Load the system images, apply what every such cluster has, and wait until node and name service are ready.

        Raises:
            ClusterError: they do not get ready; names what is missing and the kubelet's log.
        """
        assert config.node is not None
        pause, coredns = archives.pause(), archives.coredns()
        loaded = self.images()
        for image in (pause, coredns):
            if image.reference not in loaded:
                with tempfile.TemporaryDirectory() as folder:
                    archive = Path(folder) / "image.tar"
                    image.write(archive)
                    images.load(self.entering, archive, lambda _: None)
        wanted = addons.objects(config, coredns.reference)
        dns = client.find("apps/v1", "Deployment", addons.DNS_NAME, addons.DNS_NAMESPACE)
        if dns is None or addons.fingerprint(dns) != addons.fingerprint(wanted[-1]):
            client.apply_all(wanted)
        self._wait_ready(config, client)

    def _wait_ready(self, config: ClusterConfig, client: rest.Kubernetes) -> None:
        end = time.monotonic() + READY_SECONDS
        while (missing := _missing(config, client)) is not None:
            if time.monotonic() > end:
                message = f"the node of {self._layout.root} is not ready after {READY_SECONDS:g} s: {missing}"
                raise ClusterError(with_log(message, self._layout.log(KUBELET)))
            time.sleep(0.1)

    def health(self, config: ClusterConfig, client: rest.Kubernetes) -> NodeHealth:
        """How it fares; the cluster must run."""
        assert config.node is not None
        running_here = f"spec.nodeName={config.node.name},status.phase=Running"
        return NodeHealth(
            config.node.name,
            _missing(config, client),
            len(client.list("v1", "Pod", fields=running_here)),
            tuple(sorted(self.images())),
            self._memory(),
        )

    def _memory(self) -> Memory:
        init = self._init()
        try:
            return memory(Path(f"/proc/{init.pid}/root/proc")) if init is not None else Memory(0, 0, 0)
        except PermissionError as error:
            raise ClusterError(f"what runs in the node is shown to root alone: {error}") from error
        except OSError:  # it has just ended
            return Memory(0, 0, 0)

    def _init(self) -> Process | None:
        return Process.from_json(read_json(self._layout.init))


def _missing(config: ClusterConfig, client: rest.Kubernetes) -> str | None:
    """What is not ready yet. Objects tell how it was before the node stopped until they are written anew, so the name
    service is asked itself: it runs in a pod, behind a Service.
    """
    assert config.node is not None
    assert config.slot is not None
    name, slot = config.node.name, config.slot
    try:
        node = client.find("v1", "Node", name)
        if node is None:
            return f"node {name} has not registered"
        if not is_ready(node):
            conditions = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or []}
            return f"node {name}: {(conditions.get('Ready') or {}).get('message', 'no status yet')}"
        if str(slot.kubernetes_service) not in resolve(str(slot.dns), _KNOWN_NAME):
            pods = client.list("v1", "Pod", addons.DNS_NAMESPACE, labels={"k8s-app": "kube-dns"})
            waiting = [
                f"{pod['metadata']['name']}: {status.get('state')}"
                for pod in pods
                for status in (pod.get("status") or {}).get("containerStatuses") or []
            ]
            return f"the name service at {slot.dns} does not answer: {'; '.join(waiting) or 'no pod yet'}"
    except (rest.ApiError, rest.UnreachableError) as error:
        return str(error)
    return None
