"""One local cluster as the rest sees it: create, start, stop, delete, where to reach it, its node pools."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_serving.planning.simulation.node_pool import NodePool, is_ready, pool_of
from local.cluster import certificates, crds, identities, pool_store, ports, rest
from local.cluster.autoscaling import startup
from local.cluster.autoscaling.programs import FIXED_PORTS as AUTOSCALING_PORTS
from local.cluster.autoscaling.programs import PROMETHEUS
from local.cluster.autoscaling.programs import check as check_autoscaling
from local.cluster.commands import commands
from local.cluster.config import (
    CONTROL_PLANE_PORTS,
    KUBE_STATE_METRICS,
    AutoscalingOptions,
    ClusterConfig,
    KarpenterOptions,
    NodeConfig,
    NodeOptions,
)
from local.cluster.errors import ClusterError, last_lines, with_log
from local.cluster.karpenter import programs as karpenter_programs
from local.cluster.kwok_stages import write_stages
from local.cluster.layout import POOL_CONTROLLER, REPOSITORY, Layout, program
from local.cluster.node import namespace_owner, requirements
from local.cluster.node.addresses import AddressSlot
from local.cluster.node.local_node import LocalNode, NodeHealth
from local.cluster.processes import Process, environment, wait_until
from stacks.files import file_locked, read_json

START_SECONDS = 120.0
"""How long a start may take: seconds on an idle machine, a minute where several start on two busy cores."""
_STOP_SECONDS = 60.0
_FIRST_SIGN_SECONDS = 20.0
"""How long a busy disk may keep the supervisor from writing down that it is there."""
_RESTARTS = 3
"""A program that ended so often while the cluster starts will not come up."""


@dataclass(frozen=True)
class Endpoint:
    """How to reach the API server as administrator."""

    server: str
    ca_pem: str
    token: str


@dataclass(frozen=True)
class Program:
    """How a program of a cluster fares.

    Attributes:
        ready: it runs, and others may build on it.
        restarts: how often it ended and was started again since the cluster started.
        last_exit: exit status of its last end; negative for a signal.
    """

    ready: bool
    restarts: int
    last_exit: int | None


class LocalCluster:
    """A real control plane in a folder of its own. Making the handle touches nothing.

    Safe to use from several processes: whoever starts or stops holds a lock.
    """

    def __init__(self, directory: Path) -> None:
        self._layout = Layout(Path(directory).resolve())

    @property
    def directory(self) -> Path:
        """Its folder."""
        return self._layout.root

    # Life

    def create(
        self,
        *,
        kubernetes_version: str | None = None,
        admission_plugins: Iterable[str] = (),
        scale_down_seconds: float | None = None,
        node: NodeOptions | None = None,
        autoscaling: AutoscalingOptions | None = None,
        karpenter: KarpenterOptions | None = None,
        bucket_weights: Path | None = None,
    ) -> None:
        """Create keys, tokens and ports unless they are there, and start. What was decided at the first call
        stays, but for ``autoscaling`` and ``karpenter``. Where the first is given and other than before, a cluster that
        runs is started again with it; Karpenter comes to one that runs, or is started again itself.

        Args:
            kubernetes_version: the version that the cloud would run; see :meth:`version_note`.
            admission_plugins: admission plugins that the cloud turns on (GKE: ExtendedResourceToleration).
            scale_down_seconds: how long a node stays empty before it is removed.
            node: a real node of this machine, which runs pods; needs Linux and root. Without one every node is
                simulated.
            autoscaling: KEDA with its Prometheus and kube-state-metrics, which scale pods by metrics. Without it the
                HPA controller runs, with no metrics to go by.
            karpenter: the real Karpenter, whose machines join as simulated nodes; not beside a real node, which does
                not reach the local AWS.
            bucket_weights: folder in which the cloud keeps what weights its buckets hold; without it no pod waits for
                weights.

        Raises:
            ClusterError: a program is missing or does not come up; names the log and its last lines. The machine
                cannot have a node; says why and what to do.
        """
        layout = self._layout
        if autoscaling is not None:  # before anything is decided or stops
            check_autoscaling()
        if karpenter is not None:
            if node is not None:
                raise ClusterError("a cluster has a real node or Karpenter: create one without `node` or `karpenter`")
            karpenter_programs.check()
        layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not layout.config.exists():
            ClusterConfig(
                kubernetes_version=kubernetes_version,
                admission_plugins=tuple(admission_plugins),
                scale_down_seconds=scale_down_seconds,
                node=None if node is None else NodeConfig.of(node),
                autoscaling=autoscaling,
                karpenter=karpenter,
                bucket_weights=None if bucket_weights is None else str(bucket_weights.absolute()),
            ).write(layout)
        else:
            if autoscaling not in (None, ClusterConfig.read(layout).autoscaling):
                with file_locked(self._layout.start_lock):
                    self._stop()
                    replace(ClusterConfig.read(layout), autoscaling=autoscaling).write(layout)
            if karpenter not in (None, ClusterConfig.read(layout).karpenter):
                self._put_karpenter(karpenter)
        self.start()

    def _put_karpenter(self, options: KarpenterOptions) -> None:
        """Want this Karpenter; the supervisor of a cluster that runs takes it from the configuration."""
        with file_locked(self._layout.start_lock), ports.choosing():
            config = ClusterConfig.read(self._layout)
            self._layout.definitions_served.unlink(missing_ok=True)
            config = config.with_ports({**config.ports, **ports.choose(karpenter_programs.PORTS, {})})
            replace(config, karpenter=options).write(self._layout)
            if self._supervisor_alive():
                self._start_controllers()

    def end_karpenter(self) -> None:
        """Want no Karpenter any more; the supervisor of a cluster that runs ends it, and the machines stay."""
        with file_locked(self._layout.start_lock):
            replace(ClusterConfig.read(self._layout), karpenter=None).write(self._layout)
        wait_until(
            lambda: not self._supervisor_alive() or karpenter_programs.KARPENTER not in self.programs(),
            _STOP_SECONDS,
            lambda: with_log("Karpenter does not end", self._layout.log(karpenter_programs.KARPENTER)),
        )

    def exists(self) -> bool:
        """It was created and not deleted."""
        return self._layout.config.exists()

    def start(self) -> None:
        """Start it unless it runs, and wait until it is ready. What a killed predecessor left is cleared
        away.

        Raises:
            ClusterError: it was never created, a program is missing or does not come up.
        """
        with file_locked(self._layout.start_lock), contextlib.ExitStack() as held:
            config = ClusterConfig.read(self._layout)
            self._wait_for_its_end()
            if not self._supervisor_alive():
                if config.node is not None:
                    requirements.check(self._layout)
                else:
                    held.enter_context(ports.choosing())
                self._end_leftovers(config)
                try:
                    config = self._prepare(config)
                    self._supervise()
                except BaseException:
                    self._end_leftovers(ClusterConfig.read(self._layout))
                    raise
            self._start_controllers()
            with self.client() as client:
                if config.node is not None:
                    LocalNode(self._layout).install_addons(config, client)
                if config.autoscaling is not None:
                    startup.wait(self._layout, config, client)

    def stop(self) -> None:
        """End its processes, the API server before etcd; the state stays. Pods on the node of this machine get a few
        seconds to end, and run again after the next start. Nothing happens if it does not run.

        Raises:
            ClusterError: something of a node cannot be removed from the machine.
        """
        if not self.exists():
            return
        with file_locked(self._layout.start_lock):
            self._stop()

    def _stop(self, *, at_once: bool = False) -> None:
        """End its processes; ``at_once`` without time to leave anything in order."""
        supervisor = self._supervisor()
        if supervisor is not None and supervisor.alive():
            supervisor.send(signal.SIGKILL if at_once else signal.SIGTERM)
            if not supervisor.wait(_STOP_SECONDS):
                supervisor.send(signal.SIGKILL)
                supervisor.wait(5.0)
        self._end_leftovers(ClusterConfig.read(self._layout))
        self._layout.supervisor.unlink(missing_ok=True)

    def delete(self) -> None:
        """Stop it and remove its folder.

        Raises:
            ClusterError: the folder is there and holds no cluster.
        """
        if not self.directory.exists():
            return
        if not self.exists() and any(self.directory.iterdir()):
            raise ClusterError(f"{self.directory} holds no local cluster, so it is left alone")
        if self.exists():
            with file_locked(self._layout.start_lock):
                # The API server would wait for those who still watch, to keep a state that is removed. A node has
                # containers and mounts to clear away.
                self._stop(at_once=ClusterConfig.read(self._layout).node is None)
        shutil.rmtree(self.directory)

    def running(self) -> bool:
        """Its supervisor lives and the API server says that it is ready."""
        return self.exists() and self._supervisor_alive() and self.client().ready()

    def programs(self) -> dict[str, Program]:
        """Its programs by name; none before the first start."""
        states: dict[str, Any] = read_json(self._layout.programs) or {}
        return {
            name: Program(bool(state["ready"] and state["process"]), state["restarts"], state["lastExit"])
            for name, state in states.items()
        }

    # Reaching it

    def endpoint(self) -> Endpoint:
        """Address, authority and administrator's token."""
        return Endpoint(
            ClusterConfig.read(self._layout).server,
            (self._layout.certificates / "ca.crt").read_text(),
            identities.token(self._layout, identities.ADMIN),
        )

    def kubeconfig(self) -> dict[str, Any]:
        """An administrator's kubeconfig."""
        return identities.kubeconfig(self._layout, self.endpoint().server, identities.ADMIN)

    def client(self, **options: Any) -> rest.Kubernetes:
        """A connection as administrator; ``options`` go to :class:`rest.Kubernetes`."""
        return identities.connect(self._layout, identities.ADMIN, **options)

    def version(self) -> str:
        """The Kubernetes version that really runs, for example ``1.34.4``."""
        shown = subprocess.run(
            [program("kube-apiserver"), "--version"], capture_output=True, text=True, check=True
        ).stdout
        return shown.strip().removeprefix("Kubernetes v")

    def version_note(self) -> str:
        """What to tell a user whose cloud would run another minor version; empty where they agree."""
        requested, actual = ClusterConfig.read(self._layout).kubernetes_version, self.version()
        minor = re.compile(r"v?(\d+\.\d+)")
        wanted, real = minor.match(requested or ""), minor.match(actual)
        if wanted is None or real is None or wanted[1] == real[1]:
            return ""
        return f"the local control plane is Kubernetes {actual}; the cloud would run {requested}"

    # Autoscaling

    def prometheus(self) -> str:
        """Address of its Prometheus, ``http://host:port``.

        Raises:
            ClusterError: it has no autoscaling, or has not started yet.
        """
        return self._address(PROMETHEUS)

    def kube_state_metrics(self) -> str:
        """Address of its kube-state-metrics, ``http://host:port``.

        Raises:
            ClusterError: it has no autoscaling, or has not started yet.
        """
        return self._address(KUBE_STATE_METRICS)

    def _address(self, name: str) -> str:
        config = ClusterConfig.read(self._layout)
        if name not in config.ports:
            raise ClusterError(f"the cluster in {self.directory} has no {name}: it has no autoscaling")
        return f"http://{config.api_address}:{config.ports[name]}"

    # The node of this machine

    @property
    def has_node(self) -> bool:
        """It has a node of this machine, so that containers run."""
        return self.exists() and ClusterConfig.read(self._layout).node is not None

    def addresses(self) -> AddressSlot:
        """The ranges of link, Services and pods.

        Raises:
            ClusterError: it has no node, or has not started yet.
        """
        slot = ClusterConfig.read(self._layout).slot
        if slot is None:
            raise ClusterError(f"the cluster in {self.directory} has no node that was started: it has no addresses")
        return slot

    def load_image(self, archive: Path, tell: Callable[[str], None] = print) -> bool:
        """Load the images of an archive (``docker save``, ``buildah push ... docker-archive:``) into the node, unless
        the same are there; say whether anything was done.

        Args:
            archive: the file.
            tell: gets a line every few seconds while a large archive is loaded.

        Raises:
            ClusterError: no node runs, or it refuses the archive.
        """
        return self._node().load_image(Path(archive), tell)

    def images(self) -> dict[str, str]:
        """Reference -> image id (``sha256:...``) of the images that the node has.

        Raises:
            ClusterError: no node runs.
        """
        return self._node().images()

    def exec_in_node(self, command: Sequence[str], *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the node's pid, mount and network namespaces; the caller reads the exit status.

        Raises:
            ClusterError: no node runs.
        """
        return self._node().run(command, timeout=timeout)

    def node_health(self) -> NodeHealth:
        """How the node fares.

        Raises:
            ClusterError: no node runs.
        """
        with self.client() as client:
            return self._node().health(ClusterConfig.read(self._layout), client)

    def _node(self) -> LocalNode:
        if not self.has_node:
            raise ClusterError(f"the cluster in {self.directory} has no node: containers do not run in it")
        return LocalNode(self._layout)

    # What a cloud puts in

    def apply(self, objects: Iterable[Mapping[str, Any]], timeout: float = 60.0) -> None:
        """Apply what the cloud brings along (storage classes, what its agents would make). Definitions of
        custom resources come first and are served when this returns.

        Raises:
            ClusterError: a definition is not served in time.
            ApiError: the API server refuses an object.
        """
        wanted = list(objects)
        crds = [thing for thing in wanted if thing["kind"] == "CustomResourceDefinition"]
        with self.client() as client:
            client.apply_all(crds)
            _wait_served(client, crds, timeout)
            client.apply_all(thing for thing in wanted if thing not in crds)

    def install_crds(self, *names: str, timeout: float = 60.0) -> None:
        """Install definitions of custom resources by the name of their folder, and wait until they are
        served.

        Raises:
            ClusterError: there is no such folder, or they are not served in time.
        """
        self.apply([thing for name in names for thing in crds.read(name)], timeout)

    # Node pools

    def put_pool(self, pool: NodePool) -> None:
        """Want this pool: its nodes are made, changed and removed by the pool controller, soon."""
        pool_store.write(self._layout.pools, pool)

    def delete_pool(self, name: str, timeout: float = 120.0) -> None:
        """Drain and remove the pool's nodes; wait until they are gone.

        Raises:
            ClusterError: nodes are left after ``timeout`` seconds.
        """
        if not pool_store.mark_deleted(self._layout.pools, name):
            return

        def failure() -> str:
            left = ", ".join(node["metadata"]["name"] for node in self._nodes(name))
            message = f"pool {name!r} still has nodes after {timeout:g} s: {left}"
            return with_log(message, self._layout.log(POOL_CONTROLLER))

        wait_until(lambda: not pool_store.is_known(self._layout.pools, name), timeout, failure)

    def pools(self) -> list[NodePool]:
        """The pools that are wanted, by name."""
        return [pool for pool in pool_store.read_all(self._layout.pools) if not pool.deleted]

    def wait_pool(self, name: str, timeout: float = 60.0) -> None:
        """Wait until the nodes that the pool keeps are ready.

        Raises:
            ClusterError: there is no such pool, or its nodes are not ready after ``timeout`` seconds.
        """

        def minimum() -> int:
            pools = {pool.name: pool for pool in self.pools()}
            if name not in pools:
                raise ClusterError(f"there is no pool {name!r}; there are {list(pools)}")
            return pools[name].kept

        def ready() -> int:
            return sum(map(is_ready, self._nodes(name)))

        def failure() -> str:
            message = f"pool {name!r} has {ready()} ready nodes of {minimum()} after {timeout:g} s"
            return with_log(message, self._layout.log(POOL_CONTROLLER))

        wait_until(lambda: minimum() <= ready(), timeout, failure)

    def _nodes(self, pool: str) -> list[rest.Object]:
        with self.client() as client:
            return [node for node in client.list("v1", "Node") if pool_of(node) == pool]

    # Processes

    def _supervisor(self) -> Process | None:
        return Process.from_json(read_json(self._layout.supervisor))

    def _supervisor_alive(self) -> bool:
        supervisor = self._supervisor()
        return supervisor is not None and supervisor.alive()

    def _wait_for_its_end(self) -> None:
        """A supervisor that is about to end is no supervisor, and in the way of the next."""
        ending = (read_json(self._layout.supervisor) or {}).get(namespace_owner.ENDING)
        if ending or LocalNode(self._layout).has_ended():
            supervisor = self._supervisor()
            if supervisor is not None and not supervisor.wait(_STOP_SECONDS):
                supervisor.send(signal.SIGKILL)
                supervisor.wait(5.0)

    def _end_leftovers(self, config: ClusterConfig) -> None:
        """Kill programs whose supervisor has gone: where the kernel did not do so already."""
        if config.node is not None:  # its programs have process numbers of their own namespace, and end with its first
            LocalNode(self._layout).clear(config)
            return
        programs: dict[str, Any] = read_json(self._layout.programs) or {}
        for name in ("kube-apiserver", *(name for name in programs if name != "kube-apiserver")):
            process = Process.from_json((programs.get(name) or {}).get("process"))
            if process is not None and process.alive():
                process.send(signal.SIGKILL)
                process.wait(5.0)

    def _prepare(self, config: ClusterConfig) -> ClusterConfig:
        """Decide what this start decides, and write what the programs read."""
        if config.node is not None:
            config = LocalNode(self._layout).prepare(config)
        else:
            names = (
                *CONTROL_PLANE_PORTS,
                *(() if config.autoscaling is None else AUTOSCALING_PORTS),
                *(() if config.karpenter is None else karpenter_programs.PORTS),
            )
            config = config.with_ports(ports.choose(names, config.ports))
            config.write(self._layout)
        certificates.make(self._layout.certificates, config.slot)
        self._layout.definitions_served.unlink(missing_ok=True)
        if config.autoscaling is not None:
            config = startup.prepare(self._layout, config)
        identities.make(self._layout, config)
        identities.write_kubeconfigs(self._layout, config)
        write_stages(self._layout)
        self._layout.programs.unlink(missing_ok=True)
        commands(self._layout, config)  # names a missing program here, and not in a log
        return config

    def _supervise(self) -> None:
        log = self._layout.log("supervisor")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            subprocess.run(
                [sys.executable, "-m", "local.cluster.supervisor", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=REPOSITORY,
                env=environment(),
                check=True,
            )

    def _let_controllers_start(self, config: ClusterConfig) -> None:
        """KEDA and Karpenter end where their definitions are not served when they start: they come first."""
        if (config.autoscaling, config.karpenter) == (None, None) or self._layout.definitions_served.exists():
            return
        with self.client() as client:
            self._wait_until(client.ready)
            if config.autoscaling is not None:
                self.install_crds("keda", "prometheus-operator")
                startup.put_objects(self._layout, config, client)
            if config.karpenter is not None:
                self.install_crds("karpenter")
        self._layout.definitions_served.touch()

    def _start_controllers(self) -> None:
        """Give the controllers what they wait for, and wait until everything is ready."""
        config = ClusterConfig.read(self._layout)
        self._let_controllers_start(config)
        wanted = {command.name for command in commands(self._layout, config)}
        with self.client() as client:
            self._wait_until(lambda: self._all_ready(wanted) and client.ready() and self._has_service_account(client))

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        begun, seen = time.monotonic(), False
        while not ready():
            waited = time.monotonic() - begun
            alive = self._supervisor_alive()
            seen = seen or alive
            self._raise_if_hopeless(ended=not alive and (seen or waited > _FIRST_SIGN_SECONDS))
            if waited > START_SECONDS:
                raise ClusterError(self._why_not_ready(f"not ready after {START_SECONDS:g} s"))
            time.sleep(0.1)

    def _all_ready(self, wanted: Collection[str]) -> bool:
        programs: dict[str, Any] = read_json(self._layout.programs) or {}
        return programs.keys() >= set(wanted) and all(s["ready"] and s["process"] for s in programs.values())

    @staticmethod
    def _has_service_account(client: rest.Kubernetes) -> bool:
        """The controller manager has made the default service account, without which no pod can be
        created.
        """
        try:
            return client.find("v1", "ServiceAccount", "default", "default") is not None
        except (rest.ApiError, rest.UnreachableError):
            return False

    def _raise_if_hopeless(self, *, ended: bool) -> None:
        if ended:
            raise ClusterError(with_log("the supervisor has ended", self._layout.log("supervisor")))
        programs: dict[str, Any] = read_json(self._layout.programs) or {}
        for name, state in programs.items():
            if state["restarts"] >= _RESTARTS and not (state["ready"] and state["process"]):
                raise ClusterError(
                    with_log(
                        f"{name} ended {state['restarts']} times, last with status {state['lastExit']}",
                        self._layout.log(name),
                    )
                )

    def _why_not_ready(self, message: str) -> str:
        programs: dict[str, Any] = read_json(self._layout.programs) or {}
        waiting = [name for name, state in programs.items() if not state["ready"]] or ["kube-controller-manager"]
        log = self._layout.log(waiting[0])
        if not last_lines(log):
            log = self._layout.log("supervisor")
        return with_log(f"the cluster in {self.directory} is {message}: waiting for {', '.join(waiting)}", log)


def _wait_served(client: rest.Kubernetes, crds: Iterable[Mapping[str, Any]], timeout: float) -> None:
    """Established alone is not enough: a moment passes until discovery shows a kind."""
    waiting = {
        (f"{thing['spec']['group']}/{version['name']}", thing["spec"]["names"]["kind"])
        for thing in crds
        for version in thing["spec"]["versions"]
        if version["served"]
    }

    def all_served() -> bool:
        waiting.difference_update([kind for kind in waiting if _is_served(client, *kind)])
        return not waiting

    wait_until(all_served, timeout, lambda: f"definitions are not served after {timeout:g} s: {sorted(waiting)}")


def _is_served(client: rest.Kubernetes, api_version: str, kind: str) -> bool:
    try:
        client.resource(api_version, kind)
    except rest.UnknownKindError:
        return False
    return True
