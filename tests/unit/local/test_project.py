"""A local run changes no committed file."""

from pathlib import Path

import yaml

from local.project import REPOSITORY, sync_project


def test_the_copy_runs_the_same_program_with_the_same_settings(tmp_path: Path) -> None:
    target = sync_project(tmp_path)
    project = yaml.safe_load((target / "Pulumi.yaml").read_text())
    assert Path(project["main"]) == REPOSITORY / "infra"
    for stack in ("dev", "staging", "prod"):
        original = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())
        assert yaml.safe_load((target / f"Pulumi.{stack}.yaml").read_text()) == original


def test_the_salt_that_pulumi_writes_survives_a_change_of_settings(tmp_path: Path) -> None:
    target = sync_project(tmp_path) / "Pulumi.dev.yaml"
    target.write_text(target.read_text() + "encryptionsalt: v1:abc=\n")
    sync_project(tmp_path)
    assert yaml.safe_load(target.read_text())["encryptionsalt"] == "v1:abc="
    assert "encryptionsalt" not in (REPOSITORY / "Pulumi.dev.yaml").read_text()
