"""One cluster with one Karpenter, against one account, for the tests of this folder."""

import pytest

from local.cluster import KarpenterOptions, LocalCluster
from tests.engine.cluster.fixtures import api, namespace  # noqa: F401 (fixtures)
from tests.engine.karpenter import lab


@pytest.fixture(scope="session")
def account(tmp_path_factory):
    """A running AWS."""
    made = lab.Account(tmp_path_factory.mktemp("account"))
    yield made
    made.api.delete()


@pytest.fixture(scope="session")
def cluster(account, tmp_path_factory):
    """A cluster that Karpenter came to while it ran, as a stack makes both: first without the queue."""
    made = LocalCluster(tmp_path_factory.mktemp("karpenter") / "c")
    try:
        made.create()
        before = lab.processes(made)
        for queue in ("", lab.QUEUE):
            options = KarpenterOptions(account.address, lab.REGION, lab.CLUSTER, queue, lab.PREFERENCES)
            made.create(karpenter=options)
        after = lab.processes(made)
        assert {name: after[name] for name in before} == before, "the cluster was started again"
        yield made
    finally:
        made.delete()


@pytest.fixture(scope="session")
def watched(cluster):
    """What the cluster has."""
    with cluster.client() as client:
        yield lab.Watched(client)


@pytest.fixture(scope="session")
def node_class(cluster, api, watched):  # noqa: F811 (fixture)
    """The EC2NodeClass of the NodePools. It is ready before they are there: Karpenter passes over pods that want
    another, for a while."""
    made = api.create(lab.node_class("gpu"))
    watched.until(lambda: watched.is_ready("EC2NodeClass", "gpu"))
    return made


@pytest.fixture
def node_pool(cluster, node_class):
    """Makes NodePools, and removes them in the end."""
    made = []

    def make(name, machine, market, **options):
        made.append(lab.node_pool(name, machine, market, node_class="gpu", **options))
        cluster.apply(made[-1:])
        return made[-1]

    yield make
    with cluster.client() as client:
        for each in made:
            client.delete(each)
