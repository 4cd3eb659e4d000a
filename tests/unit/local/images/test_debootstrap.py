"""The base is made from this machine's own distribution, or the message says what to do instead."""

import os

import pytest

from local.images import ImageError, debootstrap
from local.images.debootstrap import Distribution


def written(tmp_path, text):
    path = tmp_path / "os-release"
    path.write_text(text)
    return path


def test_debian_and_ubuntu_are_known(tmp_path):
    text = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n'
    assert debootstrap.distribution(written(tmp_path, text)) == Distribution("debian", "bookworm")
    text = 'ID="ubuntu"\nID_LIKE=debian\nVERSION_CODENAME=noble\n'
    assert debootstrap.distribution(written(tmp_path, text)) == Distribution("ubuntu", "noble")


@pytest.mark.parametrize("text", ['ID=fedora\nPRETTY_NAME="Fedora 43"\n', "ID=debian\n", ""])
def test_another_system_is_refused_with_the_ways_out(tmp_path, text):
    with pytest.raises(ImageError, match="Docker") as refusal:
        debootstrap.distribution(written(tmp_path, text))
    assert "LLM_SERVING_BASE_IMAGE" in str(refusal.value)


def test_a_missing_os_release_is_refused_too(tmp_path):
    with pytest.raises(ImageError):
        debootstrap.distribution(tmp_path / "none")


def test_the_recipe_changes_with_the_distribution():
    recipes = {
        debootstrap.recipe(Distribution(*names)) for names in (("debian", "a"), ("debian", "b"), ("ubuntu", "a"))
    }
    assert len(recipes) == 3


def test_without_debootstrap_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(debootstrap, "_search_path", lambda: str(tmp_path))
    with pytest.raises(ImageError, match="make setup-node"):
        debootstrap.make_context(Distribution("debian", "x"), tmp_path / "c", log=tmp_path / "log", say=print)
    assert not (tmp_path / "c").exists()


def test_nothing_of_this_machine_stays_in_the_root(tmp_path):
    for name in (
        "etc/apt/sources.list",
        "etc/resolv.conf",
        "var/log/apt/history.log",
        "var/lib/apt/lists/x",
        "etc/passwd",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("of this machine")
    os.symlink("/nowhere", tmp_path / "var" / "log" / "link")
    debootstrap._strip(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"etc/passwd"}
