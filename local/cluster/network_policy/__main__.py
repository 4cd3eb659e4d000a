"""Enforce the network policies of a node: ``python -m local.cluster.network_policy --help``."""

import argparse
import base64
import logging
import signal
import sys
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from local.cluster import rest
from local.cluster.errors import ClusterError
from local.cluster.network_policy.controller import Controller
from local.cluster.network_policy.kernel import Kernel


def connect(kubeconfig: Path) -> rest.Kubernetes:
    """A connection by a kubeconfig as the local clusters write them: an authority, and a token or a certificate.

    Raises:
        ClusterError: it cannot be read, or lacks something.
    """
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
        trust = rest.tls(
            ca_pem=_pem(cluster, "certificate-authority"),
            cert_pem=_pem(user, "client-certificate"),
            key_pem=_pem(user, "client-key"),
        )
        server = cluster["server"]
    except OSError as error:
        raise ClusterError(f"the kubeconfig {kubeconfig} or a file that it names cannot be used: {error}") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ClusterError(f"the kubeconfig {kubeconfig} cannot be used: {error!r}") from None
    return rest.Kubernetes(server, context=trust, token=user.get("token"), field_manager="network-policy")


def _named(config: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    for entry in config[section]:
        if entry["name"] == name:
            return entry
    raise KeyError(f"{section}: {name}")


def _pem(entry: Mapping[str, Any], key: str) -> str | None:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data).decode()
    return Path(entry[key]).read_text() if entry.get(key) else None


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.cluster.network_policy",
        description="Enforces the NetworkPolicies of a node with nftables. Runs in the node's network namespace.",
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, help="whom to ask, and as whom")
    parser.add_argument("--pod-range", type=IPv4Network, required=True, help="addresses of the node's pods (IPv4)")
    parser.add_argument("--node", required=True, help="name of the node")
    parser.add_argument("--ready-file", type=Path, help="written once the policies are in place")
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    """Enforce until SIGTERM or SIGINT."""
    arguments = _arguments(given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        client = connect(arguments.kubeconfig)
        controller = Controller(client, arguments.node, arguments.pod_range, Kernel(), arguments.ready_file)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: controller.stop())
        controller.run()
    except ClusterError as error:
        print(f"network policies are not enforced: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
