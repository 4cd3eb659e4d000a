"""Keeps the kernel's table as the API server's policies want it."""

import logging
import time
from ipaddress import IPv4Network
from pathlib import Path

from local.cluster import rest
from local.cluster.controller_runtime import ChangeSignal, Informer, event
from local.cluster.network_policy import nftables, rules
from local.cluster.network_policy.model import Snapshot
from local.cluster.network_policy.nftables import NftTable
from stacks.files import write_atomically

API_VERSION, KIND = "networking.k8s.io/v1", "NetworkPolicy"
COMPONENT = "network-policy"
"""The name under which Events are written."""

_LOG = logging.getLogger(COMPONENT)
_IDLE = 10.0
"""The longest time between two comparisons, and the shortest between two looks at whether the table is there, in
seconds."""


class Controller:
    """The policies of one node.

    Args:
        client: connection to the API server. It must list and watch namespaces, pods and network policies, and
            create events.
        node: name of the node.
        pod_range: addresses of its pods.
        table: where the rules go.
        ready_file: written when the rules are in place for the first time.
    """

    def __init__(
        self,
        client: rest.Kubernetes,
        node: str,
        pod_range: IPv4Network,
        table: NftTable,
        ready_file: Path | None = None,
    ) -> None:
        self._client = client
        self._node = node
        self._pod_range = pod_range
        self._table = table
        self._ready_file = ready_file
        self._signal = ChangeSignal()
        self._stopping = False
        self._applied_program = ""
        self._checked_at = time.monotonic()
        self._reported: set[tuple[str, str]] = set()
        self._namespaces = Informer(client, "v1", "Namespace", self._signal)
        self._pods = Informer(client, "v1", "Pod", self._signal, fields=f"spec.nodeName={node}")
        self._policies = Informer(client, API_VERSION, KIND, self._signal)

    def run(self) -> None:
        """Work until :meth:`stop`.

        Raises:
            ClusterError: the API server refuses, or the kernel does. The table stays as it is.
        """
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)
        if not self._table.exists():  # a table that is there is from before a restart, and better than none
            self._table.apply(nftables.render(rules.Rules(), self._pod_range))
        for informer in (self._namespaces, self._policies, self._pods):
            informer.start()
        while not self._stopping:
            self._signal.wait(_IDLE)
            if not self._stopping:
                self._compare()

    def stop(self) -> None:
        """End soon. The table stays: pods must not run open for want of a process."""
        self._stopping = True
        self._signal.set()

    def _compare(self) -> None:
        namespaces, pods, policies = (f.objects() for f in (self._namespaces, self._pods, self._policies))
        if namespaces is None or pods is None or policies is None:
            return
        wanted = rules.build(Snapshot.read(namespaces, pods, policies))
        program = nftables.render(wanted, self._pod_range)
        removed = bool(self._applied_program) and self._is_removed()
        if removed:
            _LOG.warning("somebody has removed the table %s %s", nftables.FAMILY, nftables.TABLE)
        if program != self._applied_program or removed:
            self._table.apply(program)
            if not self._applied_program:
                self._announce_sync()
            self._applied_program = program
            isolated = len({address for by_address in wanted.isolated.values() for address in by_address})
            _LOG.info("%d policies, %d pods, %d of them isolated", len(policies), len(wanted.pods), isolated)
        self._report(wanted.notes)

    def _is_removed(self) -> bool:
        """The table has gone; looked at now and then only."""
        now = time.monotonic()
        if now - self._checked_at < _IDLE:
            return False
        self._checked_at = now
        return not self._table.exists()

    def _announce_sync(self) -> None:
        _LOG.info("in sync: the network policies of node %s are in place", self._node)
        if self._ready_file is not None:
            write_atomically(self._ready_file, "in sync\n", mode=0o644)

    # Events

    def _report(self, notes: tuple[rules.Note, ...]) -> None:
        """Write each note once, and again when it comes back."""
        current = {(note.policy.uid, note.message): note for note in notes}
        self._reported &= current.keys()
        for key, note in current.items():
            if key in self._reported:
                continue
            self._reported.add(key)
            _LOG.warning("network policy %s/%s: %s", note.policy.namespace, note.policy.name, note.message)
            try:
                self._client.create(self._event(note))
            except (rest.ApiError, rest.UnreachableError) as error:
                _LOG.warning("the event about it could not be written: %s", error)

    def _event(self, note: rules.Note) -> rest.Object:
        policy = note.policy
        meta = {"namespace": policy.namespace, "name": policy.name, "uid": policy.uid}
        thing = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta}
        return event(thing, note.reason, note.message, component=COMPONENT, warning=True, host=self._node)
