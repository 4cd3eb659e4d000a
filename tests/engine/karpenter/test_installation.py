"""Karpenter comes to a cluster of EKS with its chart, and goes with it."""

import pytest

from local.cluster import ClusterError, LocalCluster
from local.cluster.processes import wait_until
from local.providers import host_names
from local.providers.kubernetes import controllers
from local.state_folder import StateFolder
from tests.engine.karpenter import lab

HOST = "0123.gr7.us-east-1.eks.amazonaws.com"
ACCOUNT, NAME = "123456789012", "installed"
CHART = {"chart": "oci://public.ecr.aws/karpenter/karpenter"}


def values(cluster=NAME, queue="installed-interruptions"):
    return {**CHART, "values": {"settings": {"clusterName": cluster, "interruptionQueue": queue}}}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return StateFolder(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def cluster(state):
    """A cluster under a name as EKS gives it, with what its account has before Karpenter comes."""
    made = LocalCluster(state.cluster(ACCOUNT, lab.REGION, NAME))
    host_names.register(HOST, made.directory, state)
    api = state.aws_api(ACCOUNT)
    api.start()
    subnet = api.client("ec2", lab.REGION).describe_subnets()["Subnets"][0]["SubnetId"]
    api.client("sqs", lab.REGION).create_queue(QueueName="installed-interruptions")
    api.client("eks", lab.REGION).create_cluster(
        name=NAME,
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
        resourcesVpcConfig={"subnetIds": [subnet]},
        kubernetesNetworkConfig={"serviceIpv4Cidr": "10.96.0.0/16"},
    )
    try:
        made.create()
        yield made
    finally:
        made.delete()
        api.stop()


def status(client, name):
    """What Karpenter says of an EC2NodeClass."""
    return client.get("karpenter.k8s.aws/v1", "EC2NodeClass", name).get("status")


def test_other_charts_and_other_clusters_run_nothing(cluster, state):
    assert not controllers.run(HOST, {"chart": "kedacore/keda"}, state)
    assert not controllers.run("elsewhere.eks.amazonaws.com", values(), state)
    assert "karpenter" not in cluster.programs()


def test_a_chart_that_names_another_cluster_is_refused(cluster, state):
    with pytest.raises(ClusterError, match=f"this one's name, '{NAME}'"):
        controllers.run(HOST, values(cluster="another"), state)


def test_karpenter_runs_while_its_chart_is_installed(cluster, state):
    before = cluster.programs()["kube-apiserver"]
    assert controllers.run(HOST, values(), state)
    with cluster.client() as client:
        client.create(lab.node_class("first"))
        wait_until(lambda: status(client, "first"), 300.0, lambda: "nobody looks at the EC2NodeClass")
        assert cluster.programs()["kube-apiserver"] == before
        controllers.end(HOST, CHART, state)
        assert "karpenter" not in cluster.programs()
