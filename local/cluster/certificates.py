"""Keys and certificates of one control plane, made by the ``openssl`` program.

One authority signs the API server's certificate and those of etcd's two sides; another, as the API server
demands, that of the aggregation layer's front proxy. Service-account tokens are signed with a key of their
own. All of it lies in a folder that only its owner can read, and lasts ten years.
"""

import shutil
import subprocess
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.node.addresses import AddressSlot

_DAYS = "3650"
_NAMES = (
    "IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    "DNS:kubernetes.default.svc.cluster.local"
)
_KEDA_NAMES = "IP:127.0.0.1,DNS:localhost,DNS:*.keda.svc"
_DONE = "complete"


def make(directory: Path, slot: AddressSlot | None = None) -> None:
    """Fill the folder, unless that was done; a half-filled one is made anew.

    Args:
        directory: the folder.
        slot: addresses of a cluster with a node. Its kubelet gets a certificate, and the API server one to show to
            the kubelet.

    Raises:
        ClusterError: there is no ``openssl``, or it refuses.
    """
    if (directory / _DONE).exists():
        return
    if shutil.which("openssl") is None:
        raise ClusterError("openssl is not on PATH: install it (package 'openssl'), the cluster's keys come from it")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        _key(directory, authority)
        _authority(directory, authority)
    _signed(directory, "apiserver", "ca", "/CN=kube-apiserver", "serverAuth", f"{_NAMES},{_addresses(slot)}")
    _signed(directory, "etcd", "ca", "/CN=etcd", "serverAuth,clientAuth", "IP:127.0.0.1,DNS:localhost")
    _signed(directory, "front-proxy-client", "front-proxy-ca", "/CN=front-proxy-client", "clientAuth", "")
    if slot is not None:
        _signed(directory, "kubelet", "ca", "/CN=kubelet", "serverAuth", f"IP:{slot.node}")
        _signed(directory, "kubelet-client", "ca", "/O=system:masters/CN=kube-apiserver", "clientAuth", "")
    _key(directory, "service-account")
    _openssl("pkey", "-in", directory / "service-account.key", "-pubout", "-out", directory / "service-account.pub")
    (directory / _DONE).touch()


def make_keda(directory: Path, target: Path) -> None:
    """Fill the folder ``target`` with the certificate that KEDA's programs show to each other and to the API server,
    under the names that KEDA asks for, unless that was done.

    Args:
        directory: the folder that :func:`make` has filled; its authority signs.
        target: the folder.

    Raises:
        ClusterError: ``openssl`` refuses.
    """
    if (target / _DONE).exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o700)
    for suffix in ("crt", "key"):
        shutil.copy(directory / f"ca.{suffix}", target)
    _signed(target, "tls", "ca", "/CN=keda", "serverAuth,clientAuth", _KEDA_NAMES)
    (target / "ca.key").unlink()
    (target / _DONE).touch()


def _addresses(slot: AddressSlot | None) -> str:
    return "IP:10.96.0.1" if slot is None else f"IP:{slot.node},IP:{slot.kubernetes_service}"


def _key(directory: Path, name: str) -> None:
    path = directory / f"{name}.key"
    path.touch(mode=0o600)
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def _authority(directory: Path, name: str) -> None:
    extensions = _extensions(
        directory, name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"
    )
    request = directory / f"{name}.csr"
    key = directory / f"{name}.key"
    _openssl("req", "-new", "-key", key, "-subj", f"/CN=llm-serving local {name}", "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-signkey", key, "-days", _DAYS),
        *("-sha256", "-extfile", extensions, "-out", directory / f"{name}.crt"),
    )


def _signed(directory: Path, name: str, authority: str, subject: str, usage: str, names: str) -> None:
    _key(directory, name)
    lines = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature", f"extendedKeyUsage={usage}"]
    extensions = _extensions(directory, name, *lines, *([f"subjectAltName={names}"] if names else []))
    request = directory / f"{name}.csr"
    _openssl("req", "-new", "-key", directory / f"{name}.key", "-subj", subject, "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-days", _DAYS, "-sha256", "-extfile", extensions),
        *("-CA", directory / f"{authority}.crt", "-CAkey", directory / f"{authority}.key", "-CAcreateserial"),
        *("-out", directory / f"{name}.crt"),
    )


def _extensions(directory: Path, name: str, *lines: str) -> Path:
    path = directory / f"{name}.ext"
    path.write_text("\n".join(lines) + "\n")
    return path


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed:\n{done.stderr.strip()}")
