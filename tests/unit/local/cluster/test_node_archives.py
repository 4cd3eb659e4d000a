"""An image that was written by hand is one that any container program can read."""

import hashlib
import json
import tarfile

import pytest

from local.cluster import ClusterError
from local.cluster.node.archives import architecture, read_archive, write_image

NAME = "localhost/x/y:1"


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF and more")
    return path


def member(tar, name):
    return tar.extractfile(name).read()


def test_configuration_and_layer_carry_the_digests_that_name_them(tmp_path, program):
    archive = tmp_path / "image.tar"
    image = write_image(archive, NAME, {"usr/bin/x": program}, entrypoint=["/usr/bin/x", "-P"], user="7:8")
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(member(tar, "manifest.json"))
        text = member(tar, manifest["Config"])
        configuration = json.loads(text)
        layer = member(tar, manifest["Layers"][0])
    assert manifest["RepoTags"] == [NAME]
    assert image.image_id == f"sha256:{hashlib.sha256(text).hexdigest()}"
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert configuration["config"]["Entrypoint"] == ["/usr/bin/x", "-P"]
    assert configuration["config"]["User"] == "7:8"
    assert configuration["architecture"] == architecture()


def test_a_layer_holds_the_program_for_all_to_run_below_its_folders(tmp_path, program):
    archive = tmp_path / "image.tar"
    write_image(archive, NAME, {"usr/bin/x": program}, entrypoint=["/usr/bin/x"])
    with tarfile.open(archive) as tar, tarfile.open(fileobj=tar.extractfile("layer.tar")) as layer:
        entries = [(entry.name, entry.mode, entry.uid, entry.mtime) for entry in layer]
        assert entries == [("usr", 0o755, 0, 0), ("usr/bin", 0o755, 0, 0), ("usr/bin/x", 0o755, 0, 0)]
        assert member(layer, "usr/bin/x") == program.read_bytes()


def test_the_same_input_gives_the_same_bytes(tmp_path, program):
    for name in ("a", "b"):
        write_image(tmp_path / name, NAME, {"x": program}, entrypoint=["/x"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_was_written_is_read_back(tmp_path, program):
    image = write_image(tmp_path / "a", NAME, {"x": program}, entrypoint=["/x"])
    assert read_archive(tmp_path / "a") == [image]


def test_an_image_without_a_name_has_none(tmp_path):
    with tarfile.open(tmp_path / "a", "w") as tar:
        for name, content in (("c.json", b"{}"), ("manifest.json", b'[{"Config": "c.json", "RepoTags": null}]')):
            (tmp_path / "content").write_bytes(content)
            tar.add(tmp_path / "content", name)
    (image,) = read_archive(tmp_path / "a")
    assert image.references == ()
    assert image.image_id == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b compressed"])
def test_other_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(ClusterError, match=r"image\.tar is no image archive"):
        read_archive(tmp_path / "image.tar")
