"""Karpenter that comes with its chart: until then nothing of it is there, and with the chart it goes again."""

import pytest

from local.cluster import ClusterError, KarpenterOptions, LocalCluster
from local.cluster.processes import wait_until
from local.providers import host_names
from local.providers.kubernetes import controllers
from local.state_folder import StateFolder
from tests.engine.karpenter import lab

HOST = "0123.gr7.us-east-1.eks.amazonaws.com"
CHART = {"chart": "oci://public.ecr.aws/karpenter/karpenter"}


def values(cluster=lab.CLUSTER, queue=lab.QUEUE):
    return {**CHART, "values": {"settings": {"clusterName": cluster, "interruptionQueue": queue}}}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return StateFolder(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def waiting(account, state):
    """A cluster whose Karpenter waits, under a name as EKS gives it."""
    made = LocalCluster(state.cluster("123456789012", lab.REGION, lab.CLUSTER))
    host_names.register(HOST, made.directory, state)
    try:
        made.create(karpenter=KarpenterOptions(account.address, lab.REGION, lab.CLUSTER, queue=None))
        yield made
    finally:
        made.delete()


def status(client, name):
    """What Karpenter says of an EC2NodeClass."""
    return client.get("karpenter.k8s.aws/v1", "EC2NodeClass", name).get("status")


def test_nothing_of_karpenter_is_there_before_its_chart(waiting):
    with waiting.client() as client:
        assert client.find("apiextensions.k8s.io/v1", "CustomResourceDefinition", "nodepools.karpenter.sh") is None
    assert not waiting.karpenter_answers()


def test_a_chart_that_names_another_cluster_is_refused(waiting, state):
    with pytest.raises(ClusterError, match=f"this one's name, '{lab.CLUSTER}'"):
        controllers.run(HOST, values(cluster="another"), state)


def test_other_charts_and_other_clusters_run_nothing(waiting, state):
    assert not controllers.run(HOST, {"chart": "kedacore/keda"}, state)
    assert not controllers.run("elsewhere.example.com", values(), state)


def test_karpenter_runs_while_its_chart_is_installed(waiting, state):
    waiting.install_crds("karpenter")
    assert controllers.run(HOST, values(), state)
    controllers.run(HOST, values(), state)
    assert waiting.programs()["karpenter"].restarts == 0
    waiting.stop()
    waiting.start()
    assert controllers.run(HOST, values(), state)
    with waiting.client() as client:
        client.create(lab.node_class("gpu"))
        wait_until(lambda: status(client, "gpu"), 120.0, lambda: "nobody looks at the EC2NodeClass")
        controllers.end(HOST, CHART, state)
        assert not waiting.karpenter_answers()
        client.create(lab.node_class("late"))
        assert not status(client, "late")
