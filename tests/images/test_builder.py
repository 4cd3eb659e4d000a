"""Builds with the real buildah: nothing twice, nothing stale, nothing left behind."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from local.cluster.node.archives import read_archive
from local.images import ImageError, LocalImages
from local.images.builders import Docker, find_builder
from local.images.cache import ImageCache
from local.images.local_images import BASE_SETTING
from local.images.recipes import RECIPES, Recipe
from stacks.images.oci_archive import open_archive

TINY = 'ARG WORD=hello\nFROM scratch\nCOPY large /large\nCOPY code /code\nARG WORD\nLABEL word="${WORD}"\n'


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "main.py").write_text("print(1)\n")
    (folder / "large").write_bytes(bytes(300_000))
    (folder / "Dockerfile").write_text(TINY)
    return folder


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "LLM_SERVING_CACHE": str(tmp_path / "cache"), BASE_SETTING: "scratch"}


@pytest.fixture
def tiny(context, monkeypatch):
    recipe = Recipe("tiny", context / "Dockerfile", context, bases={}, needed_bytes=1_000_000, timeout_s=60)
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    return recipe


@pytest.fixture
def images(environment, tiny):
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("builds for real need buildah and root (make setup-node)")
    environment["PATH"] = without_docker(environment["PATH"])
    lines: list[str] = []
    made = LocalImages(environment=environment, say=lines.append)
    made.lines = lines  # type: ignore[attr-defined]
    return made


def without_docker(path: str) -> str:
    return os.pathsep.join(place for place in path.split(os.pathsep) if not (Path(place) / "docker").exists())


def archived(path: Path) -> tuple[dict, list[str], set[str]]:
    """Configuration, digests of its layers and the names of all files of an archive."""
    with tarfile.open(path) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        configuration = json.load(tar.extractfile(manifest["Config"]))
        return configuration, configuration["rootfs"]["diff_ids"], {entry.name for entry in tar if entry.isfile()}


def test_an_image_is_built_once_and_again_when_an_input_changes(images, context):
    first = images.build("tiny")
    again = images.build("tiny")
    assert (first.built, again.built) == (True, False)
    assert (again.reference, again.image_id) == (first.reference, first.image_id)
    assert first.size_bytes > 300_000
    (context / "code" / "main.py").write_text("print(2)\n")
    changed = images.build("tiny")
    assert changed.built
    assert changed.reference != first.reference
    assert changed.image_id != first.image_id
    assert [line.split(":")[0] for line in images.lines] == ["tiny"] * 4


def test_a_base_is_built_first_where_it_is_missing(images, context, monkeypatch):
    dockerfile = context / "derived.Dockerfile"
    dockerfile.write_text("ARG BASE\nFROM ${BASE}\nCOPY code /again\n")
    derived = Recipe("derived", dockerfile, context, bases={"BASE": "tiny"}, needed_bytes=1, timeout_s=60)
    monkeypatch.setitem(RECIPES, "derived", derived)
    before = images.reference("derived")
    built = images.build("derived")
    assert built.reference == before
    assert not images.build("tiny").built
    assert [image.layers[:2] for image in images.stored()] == [images.stored()[1].layers] * 2
    (context / "large").write_bytes(b"other")
    assert images.reference("derived") != before


def test_an_archive_is_the_image_that_kubernetes_will_name(images):
    built = images.build("tiny")
    path = images.archive(built)
    (read,) = read_archive(path)
    assert read.references == (built.reference,)
    assert read.image_id == built.image_id
    configuration, layers, _ = archived(path)
    assert configuration["config"]["Labels"]["word"] == "hello"
    assert len(layers) == 2
    assert images.archive(built) == path


def test_an_archive_leaves_out_what_its_reader_has(images, context):
    first = images.build("tiny")
    (context / "code" / "main.py").write_text("print(2)\n")
    changed = images.build("tiny")
    path = images.archive(changed, known_images=[first.image_id, "sha256:of-a-stranger"])
    (read,) = read_archive(path)
    assert (read.references, read.image_id) == ((changed.reference,), changed.image_id)
    _, (large, code), names = archived(path)
    assert f"blobs/sha256/{large.removeprefix('sha256:')}" not in names
    assert path.stat().st_size < 100_000
    with tarfile.open(path) as tar:
        blob = tar.extractfile(f"blobs/sha256/{code.removeprefix('sha256:')}").read()
        index = json.load(tar.extractfile("index.json"))
        (described,) = index["manifests"]
        manifest = tar.extractfile(f"blobs/sha256/{described['digest'].removeprefix('sha256:')}").read()
    assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == code
    assert described["annotations"]["io.containerd.image.name"] == changed.reference
    assert [layer["digest"] for layer in json.loads(manifest)["layers"]] == [large, code]


def test_a_build_that_fails_says_why_and_leaves_no_container_and_no_mount(images, context, tmp_path):
    (context / "Dockerfile").write_text(TINY + 'RUN ["/not-there"]\n')
    with pytest.raises(ImageError, match="the build of tiny failed") as failure:
        images.build("tiny")
    assert "/not-there" in str(failure.value)
    assert str(tmp_path / "cache" / "logs" / "image-tiny.log") in str(failure.value)
    assert not list((tmp_path / "cache" / "images").iterdir())
    assert str(tmp_path / "cache") not in Path("/proc/mounts").read_text()
    assert json.loads((tmp_path / "cache" / "containers" / "overlay-containers" / "containers.json").read_text()) == []
    (context / "Dockerfile").write_text(TINY)
    assert images.build("tiny").built


def test_the_next_build_removes_what_a_killed_one_left(images, tmp_path):
    images.build("tiny")
    cache = tmp_path / "cache"
    store = ["--root", str(cache / "containers"), "--runroot", str(tmp_path / "run"), "--storage-driver", "overlay"]
    subprocess.run(["unshare", "--mount", "buildah", *store, "from", "scratch"], check=True, capture_output=True)
    (cache / "images" / "tiny-killed").mkdir(parents=True)
    (cache / "archives" / ".unfinished").mkdir(parents=True)
    (cache / "archives" / ".unfinished" / "half.tar").write_text("half")
    containers = cache / "containers" / "overlay-containers" / "containers.json"
    assert json.loads(containers.read_text())
    (tmp_path / "context" / "code" / "main.py").write_text("print(2)\n")
    archive = images.archive(images.build("tiny"))
    assert json.loads(containers.read_text()) == []
    assert list((cache / "images").iterdir()) == []
    assert list((cache / "archives").iterdir()) == [archive]


def test_clean_keeps_what_todays_sources_give(images, context):
    old = images.build("tiny")
    (context / "code" / "main.py").write_text("print(2)\n")
    new = images.build("tiny")
    archive = images.archive(new)
    assert images.clean() == [old.reference]
    assert not archive.exists()
    assert [image.reference for image in images.stored()] == [new.reference]
    assert images.clean(everything=True) == [new.reference]
    assert images.stored() == []


def test_a_full_disk_is_noticed_before_the_build(images, tiny, monkeypatch, tmp_path):
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(tiny, needed_bytes=10**18))
    with pytest.raises(ImageError, match="the build of tiny needs about"):
        images.build("tiny")
    assert not (tmp_path / "cache" / "logs").exists()


def test_an_image_that_is_gone_is_built_again_while_its_inputs_are_the_same(images, context):
    built = images.build("tiny")
    images.clean(everything=True)
    (read,) = read_archive(images.archive(built))
    assert read.references == (built.reference,)
    (context / "code" / "main.py").write_text("print(2)\n")
    images.clean(everything=True)
    with pytest.raises(ImageError, match="not there any more, and today's inputs give another"):
        images.archive(built)


@pytest.mark.parametrize("change", [lambda file: file.write_bytes(b"other"), Path.unlink], ids=["changed", "gone"])
def test_a_layer_that_another_program_damaged_is_built_anew_and_so_is_what_stands_on_it(
    images, context, monkeypatch, tmp_path, change
):
    dockerfile = context / "derived.Dockerfile"
    dockerfile.write_text("ARG BASE\nFROM ${BASE}\nCOPY code /again\n")
    derived = Recipe("derived", dockerfile, context, bases={"BASE": "tiny"}, needed_bytes=1, timeout_s=60)
    monkeypatch.setitem(RECIPES, "derived", derived)
    built = images.build("derived")
    for path in ("large", "again/main.py"):
        (file,) = (tmp_path / "cache" / "containers" / "overlay").glob(f"*/diff/{path}")
        change(file)
    target = tmp_path / "pushed.tar"
    images.oci_archive(built, target)
    assert any("is damaged; the images that have it are built again" in line for line in images.lines)
    assert target.exists()
    _, (large, _, _), names = archived(images.archive(built))
    assert f"blobs/sha256/{large.removeprefix('sha256:')}" in names
    assert [image.reference for image in images.stored()] == sorted([built.reference, images.reference("tiny")])


def test_an_unknown_image_is_refused_with_those_that_there_are(images):
    with pytest.raises(ImageError, match="vllm, model-loader, gateway, quantizer, proxy, router, redis, tiny-model"):
        images.build("vlm")


def test_a_model_image_needs_the_folder_of_the_models(images):
    with pytest.raises(ImageError, match="--source DIR"):
        images.build("tiny-model")


def test_build_arguments_and_bases_are_inputs(images, tiny, environment, monkeypatch):
    before = images.reference("tiny")
    assert images.reference("tiny") == before
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(tiny, arguments={"WORD": "other"}))
    with_argument = images.reference("tiny")
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(tiny, bases={"WORD": "base"}))
    with_base = images.reference("tiny")
    environment[BASE_SETTING] = "another"
    assert len({before, with_argument, with_base, images.reference("tiny")}) == 4


def test_with_nothing_that_builds_the_message_says_how_to_get_it(tmp_path):
    with pytest.raises(ImageError, match="make setup-node"):
        find_builder(ImageCache(tmp_path), {"PATH": str(tmp_path)})


@pytest.mark.parametrize(("status", "builder"), [(0, Docker), (1, None)])
def test_docker_is_used_only_where_its_daemon_answers(tmp_path, status, builder):
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\nexit {status}\n")
    client.chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    if builder is not None:
        assert isinstance(find_builder(ImageCache(tmp_path), environment), builder)
    else:
        with pytest.raises(ImageError, match="docker with a running daemon"):
            find_builder(ImageCache(tmp_path), environment)


def test_the_cache_is_where_the_user_says(tmp_path):
    assert ImageCache.of({"LLM_SERVING_CACHE": "/c"}).store == Path("/c/containers")
    assert ImageCache.of({"XDG_CACHE_HOME": "/x"}).root == Path("/x/llm-serving")


def test_an_archive_for_a_registry_holds_every_layer_and_says_what_the_image_was_made_from(images, context, tmp_path):
    (context / "Dockerfile").write_text(TINY + 'ARG VERSION\nLABEL org.opencontainers.image.version="${VERSION}"\n')
    image = images.build("tiny")
    target = tmp_path / "archives" / "tiny.tar"
    for _ in range(2):  # the second takes the place of the first
        images.oci_archive(image, target)
    with open_archive(target) as archive:
        assert archive.inputs == image.reference.rpartition(":")[2]
        assert all(archive.holds(blob.digest) for blob in archive.image.blobs)
        assert len(archive.image.blobs) == 3
