"""Destroy takes away what up made."""

from tests.e2e.served import TEAM, Served
from tests.engine.local_stack import wait_until


def test_destroy_leaves_no_namespace_no_volume_and_no_pod(stand_in: Served) -> None:
    done = stand_in.pulumi("destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr
    kubernetes = stand_in.kubernetes()
    assert kubernetes.find("v1", "Namespace", TEAM) is None
    assert [pod for pod in kubernetes.list("v1", "Pod") if pod["metadata"]["namespace"] == TEAM] == []
    # Its provisioner takes a volume away after its claim.
    wait_until(lambda: not kubernetes.list("v1", "PersistentVolume"), 60, "no volume")
