"""A local run changes no committed file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_serving.errors import ProblemsError
from local.project_copy import sync_project
from local.pulumi_home import clean_environment
from local.state_folder import REPOSITORY, StateFolder
from stacks.images.lock import read_images
from stacks.releases import RELEASES
from stacks.settings import NAMESPACE, read_settings_file, refuse_unpushed, resolve
from stacks.settings.secrets import HUB_TOKEN, OWNED
from tests.unit.stacks.settings_files import put, settings_data, write_settings

STACKS = ("dev", "staging", "prod", "prod-aws")


def test_the_copy_runs_the_same_program_with_the_same_settings(tmp_path: Path) -> None:
    for stack in STACKS:
        target = sync_project(tmp_path, stack)
        project = yaml.safe_load((target / "Pulumi.yaml").read_text())
        assert Path(project["main"]) == REPOSITORY / "infra"
        original = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())
        copied = yaml.safe_load((target / f"Pulumi.{stack}.yaml").read_text())["config"]
        copied.pop("llm-serving:images", None)
        assert copied == original["config"]


def test_images_that_were_never_pushed_have_names_of_this_machine_on_the_local_clouds_alone(tmp_path: Path) -> None:
    unpushed = {name for name, image in read_images(RELEASES).items() if not image.pushed}
    for stack in (*STACKS, "local"):
        copied = yaml.safe_load((sync_project(tmp_path, stack) / f"Pulumi.{stack}.yaml").read_text())["config"]
        images = copied.get("llm-serving:images", {})
        assert set(images) == (set() if stack == "local" else unpushed)
        assert all(image["repository"].startswith("localhost/") for image in images.values())
    refuse_unpushed(resolve(read_settings_file(tmp_path / "project/Pulumi.prod.yaml"), "prod"))


def test_the_salt_that_pulumi_writes_survives_a_change_of_settings(tmp_path: Path) -> None:
    target = sync_project(tmp_path, "dev") / "Pulumi.dev.yaml"
    target.write_text(target.read_text() + "encryptionsalt: v1:abc=\n")
    sync_project(tmp_path, "dev")
    assert yaml.safe_load(target.read_text())["encryptionsalt"] == "v1:abc="
    assert "encryptionsalt" not in (REPOSITORY / "Pulumi.dev.yaml").read_text()


def test_a_stack_of_a_real_cloud_never_asks_its_key_service(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Pulumi.yaml").write_text((REPOSITORY / "Pulumi.yaml").read_text())
    (source / "Pulumi.dev.yaml").write_text(
        "secretsprovider: gcpkms://projects/p/key\nencryptedkey: abc\nencryptionsalt: v1:other\nconfig: {a:b: c}\n"
    )
    target = sync_project(tmp_path / "state", "dev", source) / "Pulumi.dev.yaml"
    assert yaml.safe_load(target.read_text()) == {"config": {"a:b": "c"}}


def test_secrets_of_a_local_run_are_its_own(tmp_path: Path) -> None:
    """Nothing here can read what another key has encrypted: Pulumi would say no more than that a cipher failed."""
    source, state = tmp_path / "source", tmp_path / "state"
    source.mkdir()
    (source / "Pulumi.yaml").write_text((REPOSITORY / "Pulumi.yaml").read_text())
    settings = source / "Pulumi.dev.yaml"
    settings.write_text(
        "encryptionsalt: v1:a\nconfig:\n  n:loader: {image: i, token: {secure: v1:b}}\n  n:key: {secure: v1:c}\n"
    )
    with pytest.raises(ProblemsError, match=r"(?s)n:loader\.token: is encrypted.*--secret n:loader\.token.*n:key:"):
        sync_project(state, "dev", source)
    copy = state / "project/Pulumi.dev.yaml"
    assert yaml.safe_load(copy.read_text()) == {"config": {"n:loader": {"image": "i"}}}

    own = {"config": {"n:loader": {"image": "i", "token": {"secure": "v1:o"}}, "n:key": {"secure": "v1:o"}}}
    copy.write_text(yaml.safe_dump({**own, "encryptionsalt": "v1:ours"}))
    sync_project(state, "dev", source)
    assert yaml.safe_load(copy.read_text()) == {**own, "encryptionsalt": "v1:ours"}

    settings.write_text("config: {n:loader: {image: other}}\n")
    sync_project(state, "dev", source)
    own["config"]["n:loader"]["image"] = "other"
    assert yaml.safe_load(copy.read_text())["config"] == own["config"]

    settings.write_text("config: {n:key: clear}\n")
    sync_project(state, "dev", source)
    assert yaml.safe_load(copy.read_text())["config"] == {"n:key": "clear"}


IMAGE = {"repository": "registry.example/gateway", "tag": "1.0.0"}


HOSTED = {
    "name": "together",
    "url": "https://api.together.example/v1",
    "teams": ["chat"],
    "models": [
        {
            "model": "qwen",
            "name": "Qwen/Qwen3-8B",
            "price": {"usdPerMillionInputTokens": 1, "usdPerMillionOutputTokens": 1},
        }
    ],
    "budget": {"usd": 1},
}


def _gateway(store: str, **more: Any) -> dict[str, Any]:
    return {"gateway": {"image": IMAGE, "proxyImage": IMAGE, "redis": {store: {"host": "redis.example"}}, **more}}


SECRET_SETTINGS = {
    "imagePullPassword": {"imagePull": {"registry": "registry.example", "username": "robot"}},
    "prometheusCredential": {
        "addons": {"monitoring": "existing", "prometheusUrl": "https://p", "prometheusAuth": {"mode": "bearer"}}
    },
    "redisLimitsPassword": _gateway("limits"),
    "redisCachePassword": _gateway("cache"),
    "webhookSecret": _gateway("limits", queue={"webhooks": {"hosts": ["hooks.example.com"]}}),
    "hostedKeys": {"gateway": {"image": IMAGE, "proxyImage": IMAGE, "hosted": [HOSTED]}},
    "loader.token": {},
}
"""Settings that each secret belongs to; a stack loads from the hub unless it says something else."""


@pytest.mark.parametrize("secret", OWNED)
def test_a_secret_of_a_local_run_ends_with_the_setting_that_it_belongs_to(tmp_path: Path, secret: str) -> None:
    """Else the run is refused for a secret that the settings do not have."""
    source, state = tmp_path / "source", tmp_path / "state"
    source.mkdir()
    (source / "Pulumi.yaml").write_text((REPOSITORY / "Pulumi.yaml").read_text())
    without = settings_data()
    without["loader"] = {"image": "model-loader@0.1.0", "source": "gs://mirror/weights"}
    loader = {"loader": {"image": "model-loader@0.1.0"}} if secret == HUB_TOKEN else {}
    write_settings(source, {**without, **SECRET_SETTINGS[secret], **loader})
    copy = sync_project(state, "dev", source) / "Pulumi.dev.yaml"
    document = yaml.safe_load(copy.read_text())
    put(document["config"], f"{NAMESPACE}:{secret}", {"secure": "v1:o"})
    copy.write_text(yaml.safe_dump({**document, "encryptionsalt": "v1:ours"}))
    for _ in range(2):
        sync_project(state, "dev", source)
        assert "v1:o" in copy.read_text()
        read_settings_file(copy)

    write_settings(source, without)
    sync_project(state, "dev", source)
    assert "v1:o" not in copy.read_text().replace("v1:ours", "")
    read_settings_file(copy)


def test_a_stack_without_settings_is_told_with_those_that_have_some(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Pulumi\.prd\.yaml: no such file \(try: .*Pulumi\.prod\.yaml"):
        sync_project(tmp_path, "prd")


def test_what_the_shell_says_to_pulumi_does_not_reach_a_local_run(tmp_path: Path) -> None:
    shell = {"PULUMI_CONFIG_PASSPHRASE": "other", "PULUMI_ACCESS_TOKEN": "pul-1", "PATH": "/bin"}
    variables = clean_environment(StateFolder(tmp_path), shell)
    assert variables["PATH"] == "/bin"
    assert not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN"} & set(variables)
    assert variables["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(tmp_path / "passphrase")
