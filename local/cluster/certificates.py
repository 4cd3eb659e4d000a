"""Keys and certificates of one control plane.

One authority signs the API server's certificate and those of etcd's two sides; another, as the API server
demands, that of the aggregation layer's front proxy. Service-account tokens are signed with a key of their
own. All of it lies in a folder that only its owner can read, and does not expire.
"""

import shutil
from pathlib import Path

from trustme import CA, Blob, LeafCert

from local.cluster.node.addresses import AddressSlot

_API_SERVER_NAMES = (
    *("127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    "kubernetes.default.svc.cluster.local",
)
_COMPLETE = "complete"


def make(directory: Path, slot: AddressSlot | None = None) -> None:
    """Fill the folder, unless that was done; a half-filled one is made anew.

    Args:
        directory: the folder.
        slot: addresses of a cluster with a node. Its kubelet gets a certificate, and the API server one to show to
            the kubelet.
    """
    if (directory / _COMPLETE).exists():
        return
    _make_empty(directory)
    authority, front_proxy_authority = (
        CA(organization_name="llm-serving local", organization_unit_name=name) for name in ("ca", "front-proxy-ca")
    )
    _write(directory / "ca.crt", authority.cert_pem)
    _write(directory / "ca.key", authority.private_key_pem)
    _write(directory / "front-proxy-ca.crt", front_proxy_authority.cert_pem)
    addresses = ("10.96.0.1",) if slot is None else (str(slot.node), str(slot.kubernetes_service))
    leaves = {
        "apiserver": authority.issue_cert(*_API_SERVER_NAMES, *addresses),
        "etcd": authority.issue_cert("127.0.0.1", "localhost"),
        # What is only shown by clients has a name too: Go refuses a certificate whose list of names, which is
        # critical, is empty (parseSANExtension in crypto/x509/parser.go).
        "front-proxy-client": front_proxy_authority.issue_cert("front-proxy-client", common_name="front-proxy-client"),
    }
    if slot is not None:
        leaves["kubelet"] = authority.issue_cert(str(slot.node))
        leaves["kubelet-client"] = authority.issue_cert(
            "kube-apiserver", common_name="kube-apiserver", organization_name="system:masters"
        )
    for name, leaf in leaves.items():
        _write_leaf(directory, name, leaf)
    _write(directory / "service-account.key", authority.issue_cert("service-account").private_key_pem)
    (directory / _COMPLETE).touch()


def make_keda(directory: Path, target: Path) -> None:
    """Fill the folder ``target`` with the certificate that KEDA's programs show to each other and to the API server,
    under the names that KEDA asks for, unless that was done.

    Args:
        directory: the folder that :func:`make` has filled; its authority signs.
        target: the folder.
    """
    if (target / _COMPLETE).exists():
        return
    _make_empty(target)
    authority = CA.from_pem((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())
    _write(target / "ca.crt", authority.cert_pem)
    _write_leaf(target, "tls", authority.issue_cert("127.0.0.1", "localhost", "*.keda.svc"))
    (target / _COMPLETE).touch()


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)


def _write_leaf(directory: Path, name: str, leaf: LeafCert) -> None:
    _write(directory / f"{name}.crt", leaf.cert_chain_pems[0])
    _write(directory / f"{name}.key", leaf.private_key_pem)


def _write(path: Path, pem: Blob) -> None:
    path.touch(mode=0o600)
    pem.write_to_path(path)
