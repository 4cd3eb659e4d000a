"""The program says what is wrong with what it is given, and ends."""

import json

import pytest

from local.cluster.errors import ClusterError
from local.cluster.network_policy.__main__ import connect, main

CONFIG = {
    "current-context": "node",
    "contexts": [{"name": "node", "context": {"cluster": "local", "user": "node"}}],
    "clusters": [{"name": "local", "cluster": {"server": "https://10.99.0.1:6443"}}],
    "users": [{"name": "node", "user": {"token": "secret"}}],
}


def written(folder, config):
    path = folder / "kubeconfig"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def test_a_kubeconfig_leads_to_its_server(tmp_path):
    assert connect(written(tmp_path, CONFIG)).server == "https://10.99.0.1:6443"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**CONFIG, "current-context": "other"}, "contexts: other"),
        ({**CONFIG, "users": []}, "users: node"),
        ({key: CONFIG[key] for key in CONFIG if key != "clusters"}, "clusters"),
        ("{", "while parsing"),
        ("[]", "list indices"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_with_the_reason(tmp_path, config, words):
    path = written(tmp_path, config)
    with pytest.raises(ClusterError, match="cannot be used") as refused:
        connect(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize("pod_range", ["fd00::/64", "10.244.0.5/24", "pods"])
def test_only_a_range_of_ipv4_is_taken(tmp_path, capsys, pod_range):
    path = written(tmp_path, CONFIG)
    with pytest.raises(SystemExit):
        main([f"--kubeconfig={path}", f"--pod-range={pod_range}", "--node=node"])
    assert pod_range in capsys.readouterr().err
