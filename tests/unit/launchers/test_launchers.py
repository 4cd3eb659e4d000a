"""The launchers that the package carries: the same bytes everywhere, and never others under a version that is out."""

import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from llm_serving import launchers
from llm_serving.launchers import FOLDER, MODULE, build, current, recorded_digests


def test_a_change_of_the_source_comes_with_a_new_version():
    recorded = recorded_digests()
    for version, launcher in launchers.launchers().items():
        assert recorded.get(version) == launcher.digest, (
            f"launcher {version} is another one than {launchers.DIGESTS} has: give it a new version "
            "(llm_serving/launchers/__init__.py says how), or, where this one was never released, its new digest "
            f"{launcher.digest}"
        )


def test_the_current_version_is_the_newest_of_all_that_there_were():
    assert list(recorded_digests())[-1] == current().version


def test_the_same_source_gives_the_same_bytes_whatever_its_files_look_like(tmp_path):
    shutil.copytree(FOLDER / "current", tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / "copy").rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (0, 0))
    (tmp_path / "copy" / MODULE / "__pycache__").mkdir()
    (tmp_path / "copy" / MODULE / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"compiled")
    assert build(tmp_path / "copy") == current()


def test_an_archive_fits_a_config_map():
    # Base64, with room for the object around it; the API server takes a megabyte (Kubernetes, ConfigMap).
    assert len(current().archive) * 4 / 3 < 500_000


def test_engines_find_the_plugin_in_the_zip(tmp_path):
    path = tmp_path / current().file_name
    path.write_bytes(current().archive)
    (distribution,) = importlib.metadata.distributions(path=[str(path)])
    assert distribution.version == current().version
    (plugin,) = distribution.entry_points.select(group="vllm.general_plugins")
    module, _, function = plugin.value.partition(":")
    source = zipfile.ZipFile(io.BytesIO(current().archive)).read(f"{module.replace('.', '/')}.py").decode()
    assert f"def {function}()" in source


@pytest.mark.parametrize("flag", ["-P", "-I"])
def test_every_module_of_it_can_be_imported_from_the_zip_alone(tmp_path, flag):
    path = tmp_path / current().file_name
    path.write_bytes(current().archive)
    program = (
        f"import sys; sys.path.insert(0, {str(path)!r})\n"
        f"import importlib, pkgutil, {MODULE}\n"
        f"for module in pkgutil.iter_modules({MODULE}.__path__):\n"
        f"    if module.name != '__main__': importlib.import_module(f'{MODULE}.' + module.name)\n"
        f"print({MODULE}.__file__)"
    )
    done = subprocess.run([sys.executable, flag, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(path))


def test_the_command_prints_the_lines_and_writes_the_archives(tmp_path):
    command = [sys.executable, "-m", "llm_serving.launchers", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"{current().version},{current().digest}"
    assert (tmp_path / current().file_name).read_bytes() == current().archive
