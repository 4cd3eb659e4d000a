"""The folder of links holds what the tools in use make, and nothing that is left over."""

import os
from pathlib import Path

from tools.bootstrap.view import Entry, entries, put


def _file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return str(path)


def test_links_that_a_tool_no_longer_makes_go_away(tmp_path: Path) -> None:
    view = tmp_path / "view"
    built, host, official = (_file(tmp_path / name) for name in ("built", "host", "official"))
    put(view, "pulumi", Entry("3.255.0", "build", {"bin/pulumi": built, "bin/pulumi-language-python": host}))
    put(view, "pulumi", Entry("3.272.0", "PATH", {"bin/pulumi": official}))

    assert sorted(os.listdir(view / "bin")) == ["pulumi"]
    assert os.readlink(view / "bin" / "pulumi") == official
    assert entries(view)["pulumi"].version == "3.272.0"


def test_links_of_other_tools_stay(tmp_path: Path) -> None:
    view = tmp_path / "view"
    put(view, "etcd", Entry("3.6.15", "build", {"bin/etcd": _file(tmp_path / "etcd")}))
    put(view, "kwok", Entry("0.8.0", "build", {"bin/kwok": _file(tmp_path / "kwok")}))

    assert sorted(os.listdir(view / "bin")) == ["etcd", "kwok"]


def test_link_that_someone_removed_comes_back(tmp_path: Path) -> None:
    view = tmp_path / "view"
    entry = Entry("3.6.15", "build", {"bin/etcd": _file(tmp_path / "etcd")})
    put(view, "etcd", entry)
    (view / "bin" / "etcd").unlink()
    put(view, "etcd", entry)

    assert (view / "bin" / "etcd").exists()
