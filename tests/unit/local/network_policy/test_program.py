"""The program says what is wrong with what it is given, and ends."""

import pytest

from local.cluster.network_policy.__main__ import main


def test_a_folder_without_a_cluster_is_named(tmp_path, capsys):
    assert main([str(tmp_path), "--pod-range=10.244.0.0/24", "--node=node"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("network policies are not enforced: ")
    assert str(tmp_path) in error


@pytest.mark.parametrize("pod_range", ["fd00::/64", "10.244.0.5/24", "pods"])
def test_only_a_range_of_ipv4_is_taken(tmp_path, capsys, pod_range):
    with pytest.raises(SystemExit):
        main([str(tmp_path), f"--pod-range={pod_range}", "--node=node"])
    assert pod_range in capsys.readouterr().err
