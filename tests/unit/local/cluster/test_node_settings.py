"""What a cluster with a node is told: nothing of a cluster without one changes, and the machine is left alone."""

import json
import tomllib

import pytest

from local.cluster import ClusterError, NodeOptions, commands, identities
from local.cluster.config import ClusterConfig, NodeConfig
from local.cluster.layout import Layout
from local.cluster.node import addons, configuration, paths, requirements
from local.cluster.node.addresses import AddressSlot

SLOT = AddressSlot(2)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A machine that has every program."""
    folder = tmp_path / "tools"
    (folder / "bin").mkdir(parents=True)
    for name in (
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
        "kubelet",
        "kube-proxy",
    ):
        (folder / "bin" / name).touch()
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(folder))
    machine = tmp_path / "machine"
    machine.mkdir()
    for name in requirements.PACKAGES:
        (machine / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(machine))
    for name in ("ptp", "host-local", "loopback"):
        (machine / name).touch()
    monkeypatch.setattr(requirements, "_CNI_FOLDERS", (machine,))
    return folder


def lines(config, tmp_path):
    return {command.name: command for command in commands.commands(Layout(tmp_path / "c"), config)}


def config(**node):
    return ClusterConfig(ports=dict(paths.PORTS), node=NodeConfig(name="local-node", slot=SLOT.number, **node))


def test_a_cluster_without_a_node_stays_on_loopback(tools, tmp_path):
    plain = lines(ClusterConfig(ports=dict.fromkeys(paths.PORTS, 20000)), tmp_path)
    assert set(plain) == {
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "pool-controller"),
    }
    shown = [argument for command in plain.values() for argument in command.line]
    assert "--bind-address=127.0.0.1" in shown
    assert not [argument for argument in shown if "10.99." in argument or "kubelet" in argument]
    assert "--authorization-mode=RBAC" in shown


def test_a_node_brings_its_programs_and_its_ranges(tools, tmp_path):
    programs = lines(config(labels={"b": "2", "a": "1"}), tmp_path)
    assert {"containerd", "kubelet", "kube-proxy", "network-policy", "volume-provisioner"} < set(programs)
    api = programs["kube-apiserver"].line
    assert f"--bind-address={SLOT.node}" in api
    assert f"--service-cluster-ip-range={SLOT.services}" in api
    assert "--enable-admission-plugins=NodeRestriction" in api
    assert "--node-labels=a=1,b=2" in programs["kubelet"].line
    assert f"--pod-range={SLOT.pods}" in programs["network-policy"].line


def test_no_pod_starts_before_its_network_policies(tools, tmp_path):
    programs = lines(config(), tmp_path)
    assert set(programs["kubelet"].after) == {"kube-apiserver", "containerd", "network-policy"}
    assert all(programs["kubelet"].after[i] in programs for i in range(3))
    assert programs["network-policy"].probe


def test_the_kubelet_never_removes_an_image(tmp_path):
    settings = configuration.kubelet(Layout(tmp_path), NodeConfig("n"), SLOT)
    assert set(settings["evictionHard"]) == {"memory.available"}
    assert settings["imageGCHighThresholdPercent"] == 100  # kubelet: "Disable image GC"
    assert settings["cgroupRoot"] == "/llm-serving-2"


def test_containerd_reads_what_is_written_for_it(tools):
    settings = tomllib.loads(configuration.containerd("localhost/pause:1"))
    assert settings["version"] == 2
    kubernetes = settings["plugins"]["io.containerd.grpc.v1.cri"]
    assert kubernetes["sandbox_image"] == "localhost/pause:1"
    assert kubernetes["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_pods_get_no_default_route(tmp_path):
    (plugin,) = configuration.cni(SLOT)["plugins"]
    assert {route["dst"] for route in plugin["ipam"]["routes"]} == {str(SLOT.services), str(SLOT.link)}
    assert plugin["ipMasq"] is False


def test_every_identity_of_a_node_gets_a_token(tmp_path):
    layout = Layout(tmp_path)
    identities.make(layout, config())
    rows = identities.token_file(layout).read_text()
    assert "system:node:local-node,system:node:local-node,system:nodes" in rows
    plain = Layout(tmp_path / "plain")
    identities.make(plain, ClusterConfig())
    assert "system:node" not in identities.token_file(plain).read_text()


def test_a_configuration_comes_back_from_their_file(tmp_path):
    layout = Layout(tmp_path)
    for wanted in (ClusterConfig(), config(labels={"a": "b"})):
        wanted.write(layout)
        assert ClusterConfig.read(layout) == wanted


def test_files_of_clusters_that_knew_no_nodes_are_read(tmp_path):
    layout = Layout(tmp_path)
    layout.config.write_text(json.dumps({"ports": {"etcd": 1}, "kubernetes_version": None, "admission_plugins": []}))
    assert ClusterConfig.read(layout).node is None


def test_the_fingerprint_of_what_a_cluster_has_inside_follows_its_content():
    first, again, other = (addons.objects(config(), image)[-1] for image in ("dns:1", "dns:1", "dns:2"))
    assert addons.fingerprint(first) == addons.fingerprint(again) != addons.fingerprint(other)
    assert addons.fingerprint({"metadata": {}}) == ""


@pytest.mark.parametrize("name", ["", "Local", "a.b", "-a", "a" * 64])
def test_a_node_name_that_kubernetes_would_refuse_is_refused_at_once(name):
    with pytest.raises(ValueError, match="is no DNS label"):
        NodeOptions(name=name)


def test_without_root_a_way_out_is_named(monkeypatch):
    monkeypatch.setattr(requirements.sys, "platform", "linux")
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    assert "needs root" in str(requirements.unmet())
    assert "KUBECONFIG" in str(requirements.unmet())


def test_other_systems_are_told_at_once(monkeypatch):
    monkeypatch.setattr(requirements.sys, "platform", "darwin")
    assert "needs Linux" in str(requirements.unmet())


def test_missing_programs_are_named_with_their_packages(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(requirements.sys, "platform", "linux")
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "_SEARCHED", ())
    (tmp_path / "machine" / "runc").unlink()
    (tmp_path / "machine" / "ptp").unlink()
    reason = str(requirements.unmet())
    assert "runc (runc)" in reason
    assert "containernetworking-plugins runc" in reason
    assert "make setup-node" in reason
    (tmp_path / "machine" / "runc").touch(mode=0o755)
    (tmp_path / "machine" / "ptp").touch()
    assert "coredns" in str(requirements.unmet())
    (tools / "bin" / "coredns").touch()
    assert requirements.unmet() is None


def test_a_folder_below_run_is_refused(monkeypatch):
    monkeypatch.setattr(requirements, "unmet", lambda: None)
    with pytest.raises(ClusterError, match="lies below /run"):
        requirements.check(Layout(requirements.Path("/run/user/0/state")))
