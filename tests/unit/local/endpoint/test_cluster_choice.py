"""Which cluster `make up` uses: never one that nobody meant."""

from pathlib import Path

import pytest
import yaml

from local.cluster import ClusterError
from local.endpoint import cluster_choice
from local.endpoint.serving_clusters import TOOLS, OwnNode, ServingCluster, UsersCluster
from local.state_folder import StateFolder
from stacks.settings import ExistingClusterSettings


def kubeconfig(folder: Path, *contexts: str) -> str:
    """A file whose first context is the current one."""
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in contexts],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.invalid"}} for name in contexts],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}} for name in contexts],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def choose(state: Path, environment: dict[str, str], context: str | None = None) -> ServingCluster:
    cluster = ExistingClusterSettings(name="local", context=context)
    return cluster_choice.choose_cluster(StateFolder(state), cluster, environment)


@pytest.fixture
def requirements_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_choice, "unmet", lambda: None)


@pytest.fixture
def requirements_unmet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_choice, "unmet", lambda: "a local node needs root")


@pytest.mark.usefixtures("requirements_met")
def test_a_machine_that_can_runs_a_node_of_its_own_whatever_the_home_folder_says(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    Path(kubeconfig(tmp_path, "production")).rename(tmp_path / ".kube/config")
    assert isinstance(choose(tmp_path, {"HOME": str(tmp_path)}), OwnNode)


@pytest.mark.parametrize("context", ["kind-llm", "k3d-llm", "minikube"])
@pytest.mark.usefixtures("requirements_met")
def test_a_cluster_for_trying_things_is_used_where_kubeconfig_names_it(tmp_path: Path, context: str) -> None:
    cluster = choose(tmp_path / "state", {"KUBECONFIG": kubeconfig(tmp_path, context, "production")})
    assert isinstance(cluster, UsersCluster)
    assert cluster.context == context
    written = yaml.safe_load(cluster.kubeconfig().read_text())
    assert [entry["name"] for entry in written["contexts"]] == [context]
    assert "production" not in cluster.kubeconfig().read_text()
    assert cluster.kubeconfig().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("context", ["production", "gke_acme_us-central1_llm", "kindred", "minikube2"])
@pytest.mark.usefixtures("requirements_met")
def test_any_other_context_is_refused_with_the_line_that_would_allow_it(tmp_path: Path, context: str) -> None:
    with pytest.raises(ClusterError) as caught:
        choose(tmp_path, {"KUBECONFIG": kubeconfig(tmp_path, context)})
    assert f"llm-serving:cluster: {{name: local, context: {context}" in str(caught.value)
    assert "unset KUBECONFIG" in str(caught.value)


@pytest.mark.usefixtures("requirements_unmet")
def test_a_context_of_the_home_folder_is_as_foreign_as_any_other(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    Path(kubeconfig(tmp_path, "production")).rename(tmp_path / ".kube/config")
    with pytest.raises(ClusterError) as caught:
        choose(tmp_path, {"HOME": str(tmp_path)})
    for words in ("left alone", "needs root", "kind create cluster", "context: production"):
        assert words in str(caught.value)


def test_a_context_that_the_settings_name_is_used(tmp_path: Path) -> None:
    environment = {"KUBECONFIG": kubeconfig(tmp_path, "kind-llm", "production")}
    cluster = choose(tmp_path, environment, context="production")
    assert isinstance(cluster, UsersCluster)
    assert cluster.context == "production"


def test_a_context_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="production"):
        choose(tmp_path, {"KUBECONFIG": kubeconfig(tmp_path, "production")}, context="produktion")


@pytest.mark.usefixtures("requirements_unmet")
def test_without_root_and_without_cluster_the_ways_to_get_one_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ClusterError) as caught:
        choose(tmp_path, {"HOME": str(tmp_path)})
    for way in ("needs root", "kind create cluster", "k3d cluster create", "minikube start", "sudo"):
        assert way in str(caught.value)


def test_images_reach_a_cluster_by_the_program_that_made_it() -> None:
    commands = {tool.name: tool.command(f"{tool.context}llm", Path("/x.tar")) for tool in TOOLS}
    assert commands["kind"] == ["kind", "load", "image-archive", "/x.tar", "--name", "llm"]
    assert commands["k3d"] == ["k3d", "image", "import", "/x.tar", "--cluster", "llm"]
