"""Definitions of custom resources are read as Kubernetes reads them."""

import pytest

from local.cluster import crds
from local.cluster.errors import ClusterError


def test_a_plain_equals_sign_is_text(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(tmp_path))
    folder = tmp_path / "crds" / "prometheus-operator"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("kind: A\nenum:\n- =\n- '!='\n---\n---\nkind: B\n")
    assert crds.read("prometheus-operator") == [{"kind": "A", "enum": ["=", "!="]}, {"kind": "B"}]


def test_a_folder_without_definitions_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_SERVING_TOOLS", str(tmp_path))
    with pytest.raises(ClusterError, match="crds/keda holds no definitions: run `make setup`"):
        crds.read("keda")
