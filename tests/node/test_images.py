"""Images come from archives, once."""

import shutil

import pytest

from local.cluster import ClusterError
from local.cluster.node import requirements
from local.cluster.node.archives import read_archive, write_image
from tests.node.helpers import IMAGE, run_in


def test_an_image_that_is_there_is_not_loaded_again(cluster, busybox):
    assert cluster.images()[IMAGE] == read_archive(busybox)[0].image_id
    assert cluster.load_image(busybox) is False


def test_a_changed_image_of_the_same_name_replaces_it(cluster, api, namespace, tmp_path):
    name = "localhost/llm-serving-tests/changing:1"
    program = tmp_path / "program"
    logs = []
    for word in ("first", "second"):
        program.write_text(f"echo {word}\n")
        busybox = shell(tmp_path)
        made = write_image(tmp_path / "image.tar", name, {"say": program, "sh": busybox}, entrypoint=["/sh"])
        assert cluster.load_image(tmp_path / "image.tar") is True
        assert cluster.images()[name] == made.image_id
        one = {"image": name, "command": ["/sh", "/say"]}
        logs.append(run_in(api, namespace, word, "", container=one)[1].strip())
    assert logs == ["first", "second"]


def shell(folder):
    """The shell under a name by which it does not choose another of its roles."""
    target = folder / "sh"
    shutil.copy(shutil.which("busybox", path=requirements.search_path()), target)
    return target


def test_packed_layers_are_dropped_once_they_are_unpacked(cluster):
    blobs = cluster.exec_in_node(["ctr", "--namespace", "k8s.io", "content", "ls"]).stdout
    sizes = [line.split()[1] for line in blobs.splitlines()[1:]]
    assert sizes
    assert not [size for size in sizes if "MB" in size or "MiB" in size], blobs


def test_a_file_that_is_no_archive_is_refused(cluster, tmp_path):
    (tmp_path / "x.tar").write_text("no archive")
    with pytest.raises(ClusterError, match=r"x\.tar is no image archive"):
        cluster.load_image(tmp_path / "x.tar")
