"""How a stack runs an inference engine: everything about speed and size, nothing that changes answers."""

import json
import math
import re
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.spec.facts import Modality
from llm_serving.spec.forms import FLAG
from llm_serving.spec.names import Count, PositiveAmount, PositiveCount

FlagName = Annotated[str, FLAG]
"""Name of a flag without its dashes: ``max-num-seqs``, or ``compilation-config.mode`` for a nested one."""


def _plain_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("not a flag's value: true for a switch, false for its --no- form, or a number or a text")


FlagValue = Annotated[Any, AfterValidator(_plain_value)]
"""``true`` for a switch, ``false`` for its ``--no-`` form, else what follows ``=``."""


def _text_of_variable(value: Any) -> Any:
    if isinstance(value, bool):
        # Programs read "1", "true" and "True" differently.
        reason = "is a boolean, and how the variable spells it is the program's"
        either = str(int(value)), str(value).lower()
        spelt = Suggestion(f'"{either[0]}" or "{either[1]}", in quotes', values=either)
        raise ProblemsError([Problem("", value, reason, spelt)])
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))  # the plugin protocol sends 1.0
    if isinstance(value, float):
        raise ProblemsError([Problem("", value, "is a number with a fraction", Suggestion(values=[str(value)]))])
    return value


def _name_of_variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("not the name of a variable: letters, digits and '_', not starting with a digit")
    return value


VariableName = Annotated[str, AfterValidator(_name_of_variable)]
"""Name of an environment variable that every shell knows (POSIX, "Environment Variables")."""
VariableValue = Annotated[str, BeforeValidator(_text_of_variable)]
"""A text; whole numbers are written as decimals."""


class EngineSpec(Frozen):
    """Options of the engine. What is left out is the engine's own default."""

    pipeline_parallelism: PositiveCount = 1
    """Stages that the layers are cut into.

    Each has ``tensorParallelism`` GPUs.
    """
    data_parallelism: PositiveCount = 1
    """Whole copies of the model in one instance, behind one API."""
    expert_parallel: bool = False
    """Spread the experts of a mixture over all GPUs of the instance.

    Spread the experts of a mixture over all GPUs of the instance instead of cutting each one.
    """
    nodes: PositiveCount = 1
    """Nodes of one instance; more than one makes a LeaderWorkerSet.

    Nodes of one instance, which takes them whole.
    """
    chunked_prefill: bool | None = None
    """Mix parts of long prompts with the tokens of running requests."""
    prefix_caching: bool | None = None
    """Keep the KV cache of common beginnings."""
    max_batched_tokens: PositiveAmount | None = None
    """Tokens of one step of the engine."""
    max_sequences: PositiveCount | None = None
    """Requests in one batch.

    Requests in one batch, of each copy of the model.
    """
    max_queued_requests: PositiveCount | None = None
    """Requests that may wait before the engine answers 503.

    Requests that may wait, when batches are full, before the engine answers 503: its admission cap. vLLM counts running
    requests too, and needs ``max_sequences`` for it.
    """
    max_queued_tokens: PositiveAmount | None = None
    """Prompt tokens that may wait before the engine answers 503."""
    structured_outputs: bool = True
    """Allow answers that must match a grammar or a JSON schema."""
    max_loras: Count = 0
    """Adapters that a batch can hold at once.

    Adapters of the release that a batch can hold at once; at least 1 where the release has some.
    """
    max_lora_rank: PositiveCount = 16
    """Largest rank of an adapter that is accepted."""
    media_per_prompt: dict[Modality, Count] = {}
    """Most pictures, videos and pieces of sound of one request.

    Most items of one request by what they are: `image`, `video`, `audio` (and `vision_chunk` for Kimi's models). 0
    turns a kind away, and its encoder takes no memory. What is left out is not limited.
    """
    stream_weights: bool = False
    """Read the weights with the Run:ai streamer.

    Read the weights with the Run:ai streamer, which fills the GPU while it reads.
    """
    graph_sizes: tuple[PositiveCount, ...] = ()
    """Batch sizes for which CUDA graphs are captured.

    Fewer start faster.
    """
    warm_up: bool = True
    """Ask for a short answer before an instance counts as ready; true by default.

    The launcher asks.
    """
    launcher: bool = True
    """Run the engine under our launcher; true by default.

    It watches the engine: readiness, liveness, requests that end before the engine does, a warm-up request, metrics of
    start and GPU. It needs Python 3.11 in the image. False: probes ask the engine itself, and there is none of the
    rest.
    """
    environment: dict[VariableName, VariableValue] = {}
    """More environment variables of the engine, on every node of an instance.

    Names that are set already are refused.
    """
    flags: dict[FlagName, FlagValue] = {}
    """More flags of the engine, by name without dashes.

    Refused where the engine does not know them, or where another setting decides them.
    """

    def flag_part(self, flag: str, part: str) -> Any:
        """A part of a flag that takes JSON, given as ``flag.part`` or inside the whole; ``None`` where it is not."""
        if f"{flag}.{part}" in self.flags:
            return self.flags[f"{flag}.{part}"]
        try:
            whole = json.loads(str(self.flags.get(flag, "")))
        except ValueError:
            return None  # refused by the rules of flags
        return cast(dict[str, Any], whole).get(part) if isinstance(whole, dict) else None
