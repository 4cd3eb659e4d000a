"""What a release says of its model, taken from the model's own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from llm_serving import catalog
from llm_serving.arguments import plain_set
from llm_serving.errors import Problem, ProblemsError
from llm_serving.spec import EngineName, ModelFacts, ModelSource, Quantization, Task
from stacks.checkpoint.chat_template import template_problem
from stacks.checkpoint.checkpoint import Checkpoint
from stacks.releases.checks import release_quantization

_Data = dict[str, Any]

_CONTEXT = 32768
"""Tokens of context of a first release: more takes more memory for each request, and few requests are longer."""


@dataclass(frozen=True)
class ReadModel:
    """A model that was read.

    Attributes:
        repository: on the hub.
        revision: its full commit.
        checkpoint: what its files say.
        quantized: the model whose weights it has, quantized in a stack; ``None`` for one of a publisher.
    """

    repository: str
    revision: str
    checkpoint: Checkpoint
    quantized: ModelSource | None = None


def first_release(read: ReadModel, images: Mapping[str, object]) -> _Data:
    """A release of a model that has none: on the newest engine that is known and in the lock of images, with as much
    context as the model was made for, up to a limit."""
    version = catalog.engine_versions(EngineName.VLLM)[-1]
    image = f"vllm-openai@{version}"
    if image not in images:
        reason = "the lock of images has none of this engine to start from"
        raise ProblemsError([Problem("image", image, reason, "--file FILE, or stacks images pin")])
    return {
        "engine": {"name": EngineName.VLLM.value, "version": version},
        "image": image,
        "model": {},
        "contextLength": min(read.checkpoint.facts.max_context, _CONTEXT),
    }


def model_of(data: _Data) -> _Data:
    """What a release's data says of its model; empty where it says nothing, or nothing that has keys."""
    model = data.get("model")
    return cast(_Data, model) if isinstance(model, dict) else {}


def with_model(data: _Data, read: ReadModel) -> _Data:
    """``data`` with this model in the place of its own.

    Raises:
        ProblemsError: the row of the catalog that it names has another shape.
    """
    before = model_of(data)
    if "architecture" in before:
        _refuse_other_shape(str(before["architecture"]), read)
    same = before.get("repository") == read.repository
    license = read.checkpoint.license or (before.get("license") if same else None)
    model: _Data = {"repository": read.repository, "revision": read.revision}
    if read.quantized is not None:
        # Whoever may use a model may use it quantized, and nobody else may.
        license = read.quantized.license
        model |= {"source": "cache"} | ({"gated": True} if read.quantized.gated else {})
    model |= {} if license is None else {"license": license}
    model |= {"gated": before["gated"]} if same and "gated" in before else {}
    model["facts"] = plain_set(read.checkpoint.facts)
    stored = read.checkpoint.facts.quantization
    quantization = release_quantization(stored) if stored is not None else Quantization.NONE
    settled = {} if quantization is None else {"quantization": quantization.value}
    return {**data, "model": model, **({} if "quantization" in data and same else settled)}


def _refuse_other_shape(name: str, read: ReadModel) -> None:
    row = next((row for row in catalog.architectures() if row.name == name), None)
    facts = read.checkpoint.facts
    if row is None or _shape(row.facts) == _shape(facts):
        return
    (layers, hidden, vocabulary), (others, width, words) = _shape(facts), _shape(row.facts)
    reason = (
        f"{read.repository} has another shape: {layers} layers of {hidden} and a vocabulary of {vocabulary}, and not "
        f"{others} of {width} and {words}"
    )
    raise ProblemsError([Problem("model.architecture", name, reason, "--set model.architecture=null")])


def _shape(facts: ModelFacts) -> tuple[int, int, int]:
    return facts.layer_count, facts.hidden_size, facts.vocabulary


def stale_facts_problems(start: _Data, data: _Data) -> list[Problem]:
    """Facts that were read from another model, or from another commit, than the release names now."""
    before, after = model_of(start), model_of(data)
    if "facts" not in after or before.get("facts") != after["facts"]:
        return []
    return [
        Problem(
            f"model.{key}",
            after.get(key),
            f"its facts were read from {before.get('repository')} at {before.get('revision')}",
            f"--model {after.get('repository')} --revision {after.get('revision')}, which reads them again",
        )
        for key in ("repository", "revision")
        if before.get(key) != after.get(key)
    ][:1]


def license_problems(read: ReadModel, data: _Data) -> list[Problem]:
    """A licence that neither the model's card nor anybody else names."""
    if model_of(data).get("license"):
        return []
    return [Problem("model.license", None, f"the card of {read.repository} names none", "--set model.license=NAME")]


def model_problems(read: ReadModel, data: _Data) -> list[Problem]:
    """What is wrong with the model's own files where the release does not replace them."""
    template = read.checkpoint.chat_template
    if template is None or data.get("chatTemplate") is not None or read.checkpoint.facts.task is not Task.GENERATE:
        return []
    problem = template_problem(template, "chatTemplate")
    return [] if problem is None else [Problem(problem.path, None, f"the model's own {problem.reason}", "one of yours")]


def model_notes(read: ReadModel, data: _Data) -> list[str]:
    """What the author of a release should know of its model."""
    checkpoint, notes = read.checkpoint, list[str]()
    facts = checkpoint.facts
    if not checkpoint.has_weights:
        notes.append(
            f"no weights were read: {facts.parameters / 1e9:.3g} billion parameters were counted from the shape"
        )
    if data.get("contextLength", 0) < facts.max_context:
        notes.append(f"contextLength is {data.get('contextLength')}; the model was made for {facts.max_context}")
    sampling = {key: value for key, value in checkpoint.sampling.items() if key in ("temperature", "top_k", "top_p")}
    if sampling and not data.get("sampling"):
        said = ", ".join(f"{key} {value}" for key, value in sampling.items())
        notes.append(f"the engine takes the model's own sampling defaults: {said}")
    return notes
