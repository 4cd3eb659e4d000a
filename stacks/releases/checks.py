"""What a release says against what its model, its image and its engine say: the same at ``release add`` and ``check``.

Whether an engine can do what is asked of it, and whether the model fits a GPU, depends on the stack
(``llm_serving.planning``).
"""

import re
from collections.abc import Iterator, Mapping

from llm_serving import catalog
from llm_serving.catalog import UnknownFact
from llm_serving.errors import Problem, Suggestion, nearest
from llm_serving.spec import EngineName, Quantization, ReleaseSpec, StoredQuantization, Task
from stacks.checkpoint.chat_template import template_problem
from stacks.images.lock import LockedImage

_SAMPLING: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (-1, 10**9),
    "min_p": (0, 1),
    "repetition_penalty": (0, 10**3),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_new_tokens": (1, 10**9),
}
"""Sampling defaults that vLLM reads, and their range (``ModelConfig.get_diff_sampling_param`` and
``SamplingParams._verify_args`` of vLLM 0.32.0); of any other key it says nothing and does nothing."""

_MEANT = {"max_tokens": "max_new_tokens", "temp": "temperature", "stop": "", "seed": ""}

_ABOVE_ZERO = ("top_p", "repetition_penalty")

_TAGGED = {EngineName.VLLM: "vllm-openai", EngineName.SGLANG: "sglang", EngineName.TGI: "text-generation-inference"}
"""Last part of the publisher's repository, whose tags are the engine's versions."""

_BUILT_HERE = {EngineName.VLLM: "vllm"}
"""Last part of the repository of an image of ours, whose tag is the engine's version."""

_IN_TAG = re.compile(r"(?:^|[^0-9.])(\d+\.\d+\.\d+)(?![0-9.])")

_BY_METHOD = {
    "fp8": Quantization.FP8,
    "fbgemm_fp8": Quantization.FP8,
    "awq": Quantization.AWQ,
    "gptq": Quantization.GPTQ,
    "bitsandbytes": Quantization.BITSANDBYTES,
    "gguf": Quantization.GGUF,
    "mxfp4": Quantization.MXFP4,
    "gpt_oss_mxfp4": Quantization.MXFP4,
    "modelopt_fp4": Quantization.NVFP4,
}

_DEPRECATED_IN_VLLM = ("fbgemm_fp8", "fp_quant")
"""Methods that vLLM 0.32.0 refuses without ``--allow-deprecated-quantization`` (its
``DEPRECATED_QUANTIZATION_METHODS``), a flag that no stack may give."""

_BY_LAYOUT = {"mxfp4-pack-quantized": Quantization.MXFP4, "nvfp4-pack-quantized": Quantization.NVFP4}
"""Four-bit floating point in the layouts of compressed-tensors."""

_INT8_LAYOUTS = ("pack-quantized", "naive-quantized int")
"""Layouts of compressed-tensors with 8-bit integers beside those whose names say so."""

_ON_THE_WAY = {Quantization.NONE, Quantization.FP8, Quantization.BITSANDBYTES}
"""What an engine makes of 16-bit weights while it loads them."""


def release_problems(spec: ReleaseSpec, images: Mapping[str, LockedImage]) -> Iterator[Problem]:
    """Everything that would be refused of a release wherever it is served, with paths relative to the release.

    Args:
        spec: the release.
        images: the lock of images, which knows what the image of a digest says of itself.
    """
    yield from _context(spec)
    yield from mismatches(spec, images)


def mismatches(spec: ReleaseSpec, images: Mapping[str, LockedImage]) -> Iterator[Problem]:
    """What in a release cannot be true together, with paths relative to the release. ``images``: the lock of images."""
    yield from _quantization(spec)
    yield from _image(spec, images)
    yield from _task(spec)
    yield from _sampling(spec)
    yield from _template(spec)


def release_quantization(stored: StoredQuantization) -> Quantization | None:
    """What a release must say of weights that are stored like this; ``None`` where nothing here serves them."""
    layout = (stored.format or "").lower()
    if stored.method in _BY_METHOD:
        return _BY_METHOD[stored.method]
    if stored.method in ("compressed-tensors", "compressed_tensors"):
        if ("float-quantized" in layout or layout == "naive-quantized float") and stored.bits == 8:
            return Quantization.FP8
        if ("int-quantized" in layout or layout in _INT8_LAYOUTS) and stored.bits == 8:
            return Quantization.INT8
        if layout == "pack-quantized" and stored.bits == 4:
            return Quantization.GPTQ
        return _BY_LAYOUT.get(layout)
    if stored.method == "modelopt":
        return {"fp8": Quantization.FP8, "nvfp4": Quantization.NVFP4}.get(layout)
    return None


def _context(spec: ReleaseSpec) -> Iterator[Problem]:
    try:
        facts = catalog.model_facts(spec.model)
    except UnknownFact as unknown:
        yield Problem("model.architecture", unknown.name, "is not in the catalog", unknown.nearest)
        return
    if spec.context_length > facts.max_context:
        reason = f"{facts.architecture} was made for at most {facts.max_context} tokens"
        yield Problem("contextLength", spec.context_length, reason, str(facts.max_context))


def _quantization(spec: ReleaseSpec) -> Iterator[Problem]:
    facts = spec.model.facts
    if facts is None:
        return
    if facts.quantization is None:
        if spec.quantization not in _ON_THE_WAY:
            reason = f"the model's config has no quantization_config: its weights are not stored as {spec.quantization}"
            hint = "none, or fp8, to which engines convert while they load"
            yield Problem("quantization", spec.quantization.value, reason, hint)
        return
    stored = release_quantization(facts.quantization)
    said = _in_words(facts.quantization)
    if spec.engine.name is EngineName.VLLM and facts.quantization.method in _DEPRECATED_IN_VLLM:
        reason = f"the model's weights are stored as {said}, which vLLM is about to drop and refuses to serve"
        hint = "a repository with other weights, for example fp8 of compressed-tensors"
        yield Problem("quantization", spec.quantization.value, reason, hint)
    elif stored is None:
        reason = f"the model's weights are stored as {said}, which no release can name yet"
        yield Problem("quantization", spec.quantization.value, reason, "a repository with other weights")
    elif stored is not spec.quantization:
        reason = f"the model's own quantization_config says {said}"
        yield Problem("quantization", spec.quantization.value, reason, stored.value)


def _in_words(stored: StoredQuantization) -> str:
    parts = [stored.method, stored.format, f"{stored.bits} bits" if stored.bits else None]
    return " ".join(part for part in parts if part)


def _task(spec: ReleaseSpec) -> Iterator[Problem]:
    """A model that makes vectors or scores writes no text, so nothing of it is sampled or parsed."""
    if spec.task is Task.GENERATE:
        return
    writes_text: Mapping[str, object] = {
        "sampling": spec.sampling,
        "toolParser": spec.tool_parser,
        "reasoningParser": spec.reasoning_parser,
    }
    for path, value in writes_text.items():
        if value:
            reason = f"the model's task is {spec.task}: it writes no text"
            yield Problem(path, None, reason, "leave it out")


def _template(spec: ReleaseSpec) -> Iterator[Problem]:
    """Of models that write text: a reranker's template takes a question and a passage, and no conversation."""
    if spec.chat_template is None or spec.task is not Task.GENERATE:
        return
    problem = template_problem(spec.chat_template, "chatTemplate")
    if problem is not None:
        yield problem


def _image(spec: ReleaseSpec, images: Mapping[str, LockedImage]) -> Iterator[Problem]:
    """The image of a digest says its version in a label, which the lock keeps; a tag that names a version names the
    engine's, where tags of that repository do."""
    repository = spec.image.repository.rpartition("/")[2]
    engine = spec.engine.version.partition("-")[0]
    locked = (image for image in images.values() if image.digest is not None and image.digest == spec.image.digest)
    entry = next(locked, None)
    said: list[tuple[str, str]] = []
    if entry is not None and entry.inputs is not None and repository == _BUILT_HERE.get(spec.engine.name):
        said.append((entry.tag, f"the image of the release's digest is {repository} {entry.tag}"))
    if repository == _TAGGED.get(spec.engine.name):
        if entry is not None and entry.version is not None:
            said.append((entry.version, f"the image of the release's digest says that it is {entry.version}"))
        reason = f"the image's tag {spec.image.tag} is of another version than the release's engine"
        said.append((spec.image.tag, reason))
    for text, reason in said:
        found = _IN_TAG.search(text)
        if found and found[1] != engine:
            yield Problem("engine.version", spec.engine.version, reason, found[1])
            return


def _sampling(spec: ReleaseSpec) -> Iterator[Problem]:
    if spec.engine.name is not EngineName.VLLM:
        return
    for key, value in spec.sampling.items():
        path = f"sampling.{key}"
        if key not in _SAMPLING:
            reason = "vLLM reads no such default, and says nothing about it"
            yield Problem(
                path,
                value,
                reason,
                Suggestion(keys=[_MEANT[key]]) if key in _MEANT else nearest(key, _SAMPLING).as_keys(),
            )
            continue
        least, most = _SAMPLING[key]
        if not least <= value <= most or (value == 0 and key in _ABOVE_ZERO):
            above = "above" if key in _ABOVE_ZERO else "at least"
            yield Problem(path, value, "vLLM refuses every request with it", f"{above} {least:g}, at most {most:g}")
        elif key in ("top_k", "max_new_tokens") and value != int(value):
            yield Problem(path, value, "is a number of tokens, which is whole", str(round(value)))
