"""The lock of images is added to; of an entry only what is missing is filled in, once."""

import json
import os
import shlex

import pytest

from llm_serving.errors import ProblemsError
from stacks.images import ImageError
from stacks.images.credentials import IDENTITY_TOKEN_USER, Login, login_for
from stacks.images.lock import LOCK, LockedImage, change_refused, lookup, read_images, write_image
from stacks.images.registry import parse_repository, parse_tagged
from stacks.releases import RELEASES

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "fedcba9876543210" * 4
ENGINE = LockedImage(repository="docker.io/vllm/vllm-openai", tag="v0.32.0")
OURS = LockedImage(repository="registry.invalid/llm-serving/vllm", tag="0.32.0", launcher=True)


def changed(image, **values):
    return image.model_copy(update=values)


def test_the_committed_lock_names_the_loader_and_the_publishers_engine():
    images = read_images(RELEASES)
    assert {"model-loader@0.1.0", "vllm-openai@0.32.0"} <= set(images)
    assert images["vllm-openai@0.32.0"].repository == "docker.io/vllm/vllm-openai"


def test_entries_are_added_and_read_back(tmp_path):
    assert read_images(tmp_path) == {}
    assert write_image(tmp_path, "vllm-openai@0.32.0", ENGINE)
    assert write_image(tmp_path, "vllm@0.32.0", OURS)
    assert not write_image(tmp_path, "vllm@0.32.0", OURS)
    assert read_images(tmp_path) == {"vllm-openai@0.32.0": ENGINE, "vllm@0.32.0": OURS}
    assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (ENGINE, changed(ENGINE, digest=DIGEST), None),
        (changed(ENGINE, digest=DIGEST), changed(ENGINE, digest=OTHER), "digest"),
        (changed(ENGINE, digest=DIGEST), ENGINE, "digest"),
        (ENGINE, changed(ENGINE, tag="v0.33.0"), "tag"),
        (ENGINE, changed(ENGINE, repository="mirror.test/vllm"), "repository"),
        (OURS, changed(OURS, repository="registry.test/vllm", tag="1", digest=DIGEST, inputs="0" * 12), None),
        (OURS, changed(OURS, repository="registry.test/vllm", launcher=False), "launcher"),
        (changed(OURS, repository="registry.test/vllm"), OURS, "repository"),
    ],
)
def test_what_is_there_stays_and_what_is_missing_is_filled_in_once(tmp_path, before, after, refused):
    write_image(tmp_path, "image@1", before)
    if refused is None:
        assert write_image(tmp_path, "image@1", after)
        assert read_images(tmp_path)["image@1"] == after
        return
    with pytest.raises(ProblemsError, match=rf"image@1\.{refused}.*written once.*a new version") as refusal:
        write_image(tmp_path, "image@1", after)
    assert str(refusal.value).startswith(LOCK)
    assert read_images(tmp_path)["image@1"] == before


def test_a_version_is_noted_with_the_digest_and_not_later(tmp_path):
    pinned = changed(ENGINE, digest=DIGEST)
    write_image(tmp_path, "image@1", pinned)
    with pytest.raises(ProblemsError, match=r"image@1\.version.*written together with the digest"):
        write_image(tmp_path, "image@1", changed(pinned, version="0.32.0"))
    assert write_image(tmp_path, "image@2", ENGINE)
    assert write_image(tmp_path, "image@2", changed(pinned, version="0.32.0"))


def test_an_entry_that_is_gone_is_told():
    assert "never removed" in str(change_refused("image@1", ENGINE, None))


@pytest.mark.parametrize("name", ["vllm", "vllm@", "@1", "Vllm@1", "vllm@1 2", "a@b@c", "vllm@-1"])
def test_a_name_without_a_version_that_a_registry_takes_is_refused(tmp_path, name):
    with pytest.raises(ProblemsError, match=r"no name@version.*model-loader@0\.1\.0"):
        write_image(tmp_path, name, ENGINE)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("- a list", ""),
        ("image@1: {tag: x}", "image@1.repository"),
        ("image@1: {repository: a.test/b, tag: x, digest: sha256:12}", "image@1.digest"),
        ("image@1: {repository: a.test/b, tag: x, size: 1}", "image@1.size"),
    ],
)
def test_a_lock_that_is_none_is_refused_by_path(tmp_path, text, path):
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(ProblemsError) as refusal:
        read_images(tmp_path)
    assert str(refusal.value).startswith(f"{LOCK}: {path}")


def test_a_name_that_the_lock_does_not_have_is_refused_with_the_nearest_and_the_command():
    with pytest.raises(ProblemsError) as refusal:
        lookup("vllm-openai@0.33.0", {"vllm-openai@0.32.0": ENGINE, "model-loader@0.1.0": OURS}, "image")
    assert "image = 'vllm-openai@0.33.0': no image of images.lock.yaml (try: vllm-openai@0.32.0; " in str(refusal.value)
    assert "stacks images pin vllm-openai@0.33.0 --image REPOSITORY:TAG" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("docker.io/vllm/vllm-openai", "https://registry-1.docker.io/v2/vllm/vllm-openai/"),
        ("europe-docker.pkg.dev/p/serving/vllm", "https://europe-docker.pkg.dev/v2/p/serving/vllm/"),
        ("localhost:5000/a", "http://localhost:5000/v2/a/"),
        ("127.0.0.1:5000/a/b", "http://127.0.0.1:5000/v2/a/b/"),
        ("[::1]:5000/a", "http://[::1]:5000/v2/a/"),
        ("localhost.example.com/a", "https://localhost.example.com/v2/a/"),
    ],
)
def test_a_registry_is_spoken_to_over_tls_unless_it_is_on_this_machine(text, url):
    assert parse_repository(text).url == url


@pytest.mark.parametrize("text", ["vllm/vllm-openai:v1", "vllm:v1", "docker.io/vllm", f"docker.io/vllm@{DIGEST}", ""])
def test_a_reference_names_its_registry_and_a_tag(text):
    with pytest.raises(ImageError, match="must be a registry"):
        parse_tagged(text)


def test_a_token_of_the_environment_goes_to_the_registries_of_its_cloud_alone(tmp_path):
    environment = {
        "DOCKER_CONFIG": str(tmp_path),
        "GOOGLE_OAUTH_ACCESS_TOKEN": "of-google",
        "LLM_SERVING_ECR_PASSWORD": "of-aws",
    }
    google = Login("oauth2accesstoken", "of-google")
    assert login_for("europe-docker.pkg.dev", environment) == google
    assert login_for("eu.gcr.io", environment) == google
    assert login_for("123456789012.dkr.ecr.eu-west-1.amazonaws.com", environment) == Login("AWS", "of-aws")
    for host in ("docker.io", "pkg.dev.example.com", "evilpkg.dev", "ghcr.io"):
        assert login_for(host, environment) is None
    assert "of-google" not in repr(google)


def test_logins_of_docker_are_read_as_docker_writes_them(tmp_path):
    def written(**configuration):
        (tmp_path / "config.json").write_text(json.dumps(configuration))
        return {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    auth = {"auth": "YWxpY2U6d29uZGVyOmxhbmQ="}  # alice:wonder:land
    assert login_for("ghcr.io", written(auths={"ghcr.io": auth})) == Login("alice", "wonder:land")
    hub = written(auths={"https://index.docker.io/v1/": auth})
    assert login_for("docker.io", hub) == Login("alice", "wonder:land")
    refresh = written(auths={"ghcr.io": {"identitytoken": "abc"}})
    assert login_for("ghcr.io", refresh) == Login(IDENTITY_TOKEN_USER, "abc")
    with pytest.raises(ImageError, match="damaged; log in again"):
        login_for("ghcr.io", written(auths={"ghcr.io": {"auth": "?"}}))
    helper = tmp_path / "docker-credential-none"
    helper.write_text("#!/bin/sh\necho credentials not found in native keychain\nexit 1\n")
    helper.chmod(0o755)
    # Docker writes an empty entry for a registry whose login a helper keeps.
    assert login_for("ghcr.io", written(credsStore="none", auths={"ghcr.io": {}})) is None
    helper.write_text(f"#!/bin/sh\necho {shlex.quote('the keychain is locked')} >&2\nexit 1\n")
    with pytest.raises(ImageError, match=r"docker-credential-none gave no login for ghcr\.io: the keychain is locked"):
        login_for("ghcr.io", written(credsStore="none"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ImageError, match="configuration cannot be read"):
        login_for("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)})
