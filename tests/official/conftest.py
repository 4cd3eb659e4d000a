"""The tier of the comparison: the same programs with the plugin of this repository and with Pulumi's own."""

from importlib.metadata import version

import pytest

from local import kubernetes_plugin
from local.kubernetes_plugin import LOCAL, OFFICIAL
from local.state_folder import StateFolder
from tests.engine.cluster.conftest import cluster, cluster_weights  # noqa: F401 (fixtures)
from tests.engine.cluster.fixtures import api, namespace  # noqa: F401 (fixtures)
from tests.official.project import Project

SECONDS = 1800
"""A guard for a test with what is set up for it, far more than it takes."""
NOT_BUILT = (
    "the official Kubernetes plugin is NOT BUILT, and ours was NOT COMPARED with it (make setup-official-kubernetes)"
)


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(params=[LOCAL, OFFICIAL])
def plugin(request, tmp_path, monkeypatch):
    """The name of the plugin that the engine runs."""
    monkeypatch.setenv(kubernetes_plugin.VARIABLE, request.param)
    own = StateFolder(tmp_path / "local").official_pulumi_home
    if request.param == OFFICIAL and kubernetes_plugin.find(own, version("pulumi-kubernetes")) is None:
        pytest.skip(NOT_BUILT)
    return request.param


@pytest.fixture
def project(plugin, cluster, tmp_path):  # noqa: F811 (fixture)
    """An empty project on the cluster."""
    return Project(tmp_path, cluster.kubeconfig())
