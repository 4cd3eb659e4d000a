"""What a machine must have for a node: Linux, root, programs of its packages and of ``.tools``."""

import os
import shutil
import sys
from pathlib import Path

from local.cluster.errors import ClusterError
from local.cluster.layout import Layout, tools

_SEARCHED = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/libexec/catatonit")
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))

PACKAGES = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "catatonit": "catatonit",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""Program -> the Debian package that has it."""
_CNI = ("ptp", "host-local", "loopback")
_CNI_PACKAGE = "containernetworking-plugins"
_BUILT = ("kubelet", "kube-proxy", "coredns")


def search_path() -> str:
    """PATH with the folders for root's programs, which a user's often lacks."""
    own = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join([*own, *(folder for folder in _SEARCHED if folder not in own)])


def find(name: str) -> str:
    """The full path of a program of the machine.

    Raises:
        ClusterError: it is missing; names its package.
    """
    path = shutil.which(name, path=search_path())
    if path is None:
        raise ClusterError(f"{name} is not on PATH: install package {PACKAGES[name]!r}, or run `make setup-node`")
    return path


def cni_plugins() -> Path:
    """The folder of the CNI plugins.

    Raises:
        ClusterError: they are missing.
    """
    for folder in _CNI_FOLDERS:
        if all((folder / name).exists() for name in _CNI):
            return folder
    places = ", ".join(map(str, _CNI_FOLDERS))
    raise ClusterError(f"no CNI plugins ({', '.join(_CNI)}) in {places}: run `make setup-node` ({_CNI_PACKAGE})")


def unmet() -> str | None:
    """Why this machine cannot run a node, with what to do; ``None`` where it can."""
    if not sys.platform.startswith("linux"):
        return "a local node needs Linux. Name a cluster instead: KUBECONFIG=<file>"
    if os.geteuid() != 0:
        return (
            "a local node needs root, for its namespaces, mounts and cgroups: run this as root (sudo -E), "
            "or name a cluster: KUBECONFIG=<file>"
        )
    missing = {f"{name} ({package})": package for name, package in PACKAGES.items() if not _is_installed(name)}
    if not any(all((folder / name).exists() for name in _CNI) for folder in _CNI_FOLDERS):
        missing[f"CNI plugins ({_CNI_PACKAGE})"] = _CNI_PACKAGE
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return f"missing on this machine: {', '.join(sorted(missing))}. Run `make setup-node`, or install: {packages}"
    built = [str(tools() / "bin" / name) for name in _BUILT if not (tools() / "bin" / name).exists()]
    if built:
        return f"missing: {', '.join(built)}. Run `make setup-node`, which builds them"
    return None


def check(layout: Layout) -> None:
    """Refuse to start where a node cannot run.

    Raises:
        ClusterError: says why, and what to do.
    """
    reason = unmet()
    if reason is None and layout.root.is_relative_to("/run"):
        reason = f"{layout.root} lies below /run, which a node covers by its own: choose another folder for the state"
    if reason is not None:
        raise ClusterError(reason)


def _is_installed(name: str) -> bool:
    return shutil.which(name, path=search_path()) is not None
