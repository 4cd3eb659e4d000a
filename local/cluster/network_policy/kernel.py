"""The table in the kernel, by way of the program ``nft``."""

import os
import shutil
import subprocess

from local.cluster.errors import ClusterError
from local.cluster.network_policy.nftables import FAMILY, TABLE


class Kernel:
    """The nftables of the network namespace that this process runs in.

    Raises:
        ClusterError: the program is missing.
    """

    def __init__(self) -> None:
        # Administrators' programs are not on everybody's PATH.
        found = shutil.which("nft", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        if found is None:
            raise ClusterError("the program nft is missing: run `make setup-node` (Debian package nftables)")
        self._nft = found

    def has_table(self) -> bool:
        """The table is there."""
        return self._run("-t", "list", "table", FAMILY, TABLE).returncode == 0

    def apply(self, program: str) -> None:
        """Run a program of :func:`~local.cluster.network_policy.nftables.render`, in one step.

        Raises:
            ClusterError: nft refuses it; everything is as it was.
        """
        done = self._run("-f", "-", stdin=program)
        if done.returncode != 0:
            raise ClusterError(
                f"nft refuses the rules (status {done.returncode}): {done.stderr.strip() or 'no message'}\n"
                "  it needs root in the node's network namespace and a kernel with nf_tables, fib and conntrack"
            )

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._nft, *arguments], input=stdin, capture_output=True, text=True, check=False)
