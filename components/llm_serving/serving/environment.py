"""Environment variables of an engine's containers: those that are set here, and that a user's are none of them.

Leaves alone what the engine itself needs (``engines``) and how a container gets its variables (``pod``).
"""

import re
from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan
from llm_serving.serving import launcher
from llm_serving.serving.egress import egress_variables
from llm_serving.serving.engines import EngineRequest, engine
from llm_serving.spec import EgressSpec, EngineName, ModelSpec, ReleaseSpec

CUDA_LIBRARIES = "/usr/local/cuda/lib64"

COMPILED = "/tmp/compiled"
"""Where an engine compiles to: a folder of its own, into which the launcher unpacks what was saved."""

_REFERENCE = re.compile(r"\$\((\w+)\)")
"""A variable in a command line, which Kubernetes puts in."""


def compile_variables() -> dict[str, str]:
    """Variables of an engine that saves or reads a compile cache: all that it compiles goes to one folder. vLLM puts
    its own and DeepGEMM's caches there; Triton's kernels outside of compiled graphs and FlashInfer's would go to the
    home folder (vLLM 0.32: compilation/compiler_interface.py, utils/deep_gemm.py, snapshot/runtime.py). Paths stand in
    the caches, so they are the same for whoever saves and whoever reads."""
    return {
        "VLLM_CACHE_ROOT": COMPILED,
        "TRITON_CACHE_DIR": f"{COMPILED}/triton",
        "FLASHINFER_WORKSPACE_BASE": f"{COMPILED}/flashinfer",
    }


def more_variables(model: ModelSpec, egress: EgressSpec | None) -> dict[str, str]:
    """Variables that the settings of a model and of its site lead to, beside those that its engine needs."""
    return {**egress_variables(egress), **(compile_variables() if model.compile_cache else {})}


def driver_variables(model: ModelSpec, release: ReleaseSpec, node: NodeShape) -> dict[str, str]:
    """Where the dynamic linker, and compilers at run time, find the GPU driver on clouds that mount it into a folder of
    its own. A variable of a pod takes the place of the image's, so behind that folder stands what CUDA's base images
    name (``/usr/local/cuda/lib64``, of which the compiler's is ``stubs``), or what the user names.

    Nothing for engines whose publisher's image names more folders than that; those name the driver's too: TGI's adds
    ``/opt/conda/lib/``, where its Rust programs find libpython, to what nvidia/cuda names (its Dockerfile); Triton's
    begins with ``/opt/tritonserver/backends/onnxruntime`` and ``/opt/hpcx`` (its build.py), before its base's.
    """
    libraries = cloud_named(node.cloud).driver_libraries
    if libraries is None or release.engine.name not in _ON_CUDA_BASE_IMAGES:
        return {}
    return {
        name: ":".join([libraries, model.engine.environment.get(name, folder)])
        for name, folder in (("LD_LIBRARY_PATH", CUDA_LIBRARIES), ("LIBRARY_PATH", f"{CUDA_LIBRARIES}/stubs"))
    }


_ON_CUDA_BASE_IMAGES = frozenset({EngineName.VLLM, EngineName.SGLANG})
"""Engines whose publishers build on nvidia/cuda and add no folder but the driver's (docker/Dockerfile of
vllm-project/vllm and of sgl-project/sglang, stored copies of 2025 read 2026-11-29; not seen in the images of the pinned
versions)."""


def check_environment(
    model: ModelSpec, release: ReleaseSpec, plan: ModelPlan, egress: EgressSpec | None
) -> Iterator[Problem]:
    """A problem for each of the user's variables that is set already, or that the command line of a group refers to.

    Args:
        model: the model; paths are below it.
        release: the release that its instances serve.
        plan: one instance of it.
        egress: the way out that its site prescribes.
    """
    adapter = engine(release.engine.name)
    launched = launcher.travelling(model, release, None)
    own = {
        **adapter.environment(plan),
        **more_variables(model, egress),
        **({} if launched is None else launcher.environment(launched)),
    }
    words: list[str] = []
    if plan.nodes > 1:
        command = adapter.group_command(EngineRequest(plan, release, model.engine, weights=""))
        words = [*command.leader, *command.worker]
    referred = {name for word in words for name in _REFERENCE.findall(word)}
    for name, value in model.engine.environment.items():
        path = f"engine.environment.{name}"
        if name in own:
            yield Problem(path, value, f"is set to {own[name]!r} already, which the engine is run with", "another name")
        elif name in referred:
            yield Problem(path, value, "is set by LeaderWorkerSet, and the engine's command needs it", "another name")
