"""Enforce the network policies of a node: ``python -m local.cluster.network_policy --help``."""

import argparse
import signal
import sys
from ipaddress import IPv4Network
from pathlib import Path

from local.cluster import identities
from local.cluster.controller_runtime import log_to_stdout
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.network_policy.controller import Controller
from local.cluster.network_policy.nftables import NftTable


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.cluster.network_policy",
        description="Enforces the NetworkPolicies of a node with nftables. Runs in the node's network namespace.",
    )
    parser.add_argument("directory", type=Path, help="the cluster's folder")
    parser.add_argument("--identity", default=identities.NETWORK_POLICY, help="as whom to connect")
    parser.add_argument("--pod-range", type=IPv4Network, required=True, help="addresses of the node's pods (IPv4)")
    parser.add_argument("--node", required=True, help="name of the node")
    parser.add_argument("--ready-file", type=Path, help="written once the policies are in place")
    return parser.parse_args(arguments)


def main(command_line: list[str]) -> int:
    """Enforce until SIGTERM or SIGINT."""
    arguments = _parse(command_line)
    log_to_stdout()
    try:
        layout = Layout(arguments.directory)
        client = identities.connect(layout, arguments.identity, field_manager=identities.NETWORK_POLICY)
        controller = Controller(client, arguments.node, arguments.pod_range, NftTable(), arguments.ready_file)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: controller.stop())
        controller.run()
    except ClusterError as error:
        print(f"network policies are not enforced: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
