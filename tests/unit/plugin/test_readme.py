import re

import pulumi

from llm_serving.plugin import SCHEMA
from tests.unit.plugin.wire import KUBECONFIG
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid
from tests.unit.serving.served import RELEASE


def test_the_readmes_python_program_runs(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(pulumi, "export", lambda *_: None)
    (program,) = re.findall(r"```python\n(.*?)```", (SCHEMA.parent / "README.md").read_text(), re.DOTALL)
    names = {"release": RELEASE, "release_hashes": {"1.0.0": "0" * 64}}
    recording = record(lambda: exec(program, names))
    assert_valid(recording)
    assert recording.output("url", names["model"]) == "http://qwen3-8b.chat.svc:8000/v1"
    provider = recording.one("pulumi:providers:kubernetes")
    for resource in recording:
        if resource.type.startswith("kubernetes:"):
            assert resource.provider.startswith(provider.urn)
