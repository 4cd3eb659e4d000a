"""One cluster with the definitions of the Gateway API, and one proxy on it, for the tests of this folder."""

from pathlib import Path

import pytest

from local.cluster import LocalCluster
from tests.engine.cluster.fixtures import api  # noqa: F401 (fixture)
from tests.engine.cluster.helpers import eventually
from tests.engine.gateway import lab
from tests.images.locked_environment import NotHereError


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running cluster with the namespaces of the gateway and of a team."""
    try:
        lab.traefik()
    except NotHereError as error:
        pytest.exit(f"the tests of the gateway did NOT RUN: {error}", returncode=3)
    made = LocalCluster(Path(tmp_path_factory.mktemp("gateway")) / "c")
    try:
        made.create()
        made.install_crds("gateway-api")
        made.install_crds("cert-manager")
        names = (lab.NAMESPACE, lab.TEAM, "strangers", "first", "second", "challenged")
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names)
        yield made
    finally:
        made.delete()


@pytest.fixture(scope="session")
def backends():
    """The stable, the canary and the previous release, and what stands in LiteLLM's place."""
    made = {name: lab.Backend(name) for name in (lab.STABLE, lab.CANARY, lab.PREVIOUS, "litellm")}
    yield made
    for one in made.values():
        one.goes_on.set()
        one.close()


@pytest.fixture(scope="session")
def proxy(cluster, backends, tmp_path_factory):
    """The proxy, before a model with 10 % for its canary and before LiteLLM."""
    made = lab.Proxy(cluster, tmp_path_factory.mktemp("proxy"), lab.NAMESPACE, team_namespaces={lab.TEAM: lab.TEAM})
    releases = (lab.STABLE, lab.CANARY, lab.PREVIOUS)
    cluster.apply(thing for version in releases for thing in lab.release_service(version, backends[version].port))
    cluster.apply(lab.service("litellm", lab.NAMESPACE, 4000, backends["litellm"].port))
    made.apply()
    cluster.apply(lab.model_routes(10))
    with made.running():
        eventually(lambda: made.answers("/ping") == 200)
        eventually(lambda: made.answers("/tiny/v1/models") == 200 and made.answers("/tiny/stable/v1/models") == 200)
        eventually(lambda: made.answers("/v1/models", "edge") == 200)
        yield made


@pytest.fixture
def weighted(cluster, proxy, backends):
    """The model's routes with the weights that a test gives them; afterwards those from before."""

    def settle(weight):
        """Requests are shared by these weights from now on."""
        cluster.apply(lab.model_routes(weight))
        eventually(lambda: lab.shares(proxy, 20)[lab.CANARY] == weight // 5)

    yield settle
    cluster.apply(lab.release_service(lab.CANARY, backends[lab.CANARY].port))
    settle(10)
