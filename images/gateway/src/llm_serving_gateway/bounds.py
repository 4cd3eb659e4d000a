"""What a request may use at most: tokens of its prompt and of its answers."""

from dataclasses import dataclass
from typing import Any

from llm_serving_gateway.configuration import Model, RequestLimits, Task
from llm_serving_gateway.keys import Key
from llm_serving_gateway.refusals import invalid
from llm_serving_gateway.relay import Usage
from llm_serving_gateway.tokens import PromptSize, measure


@dataclass(frozen=True)
class Bounds:
    """Tokens of the prompts, estimated, and of all answers together at most."""

    prompt: int
    output: int

    @property
    def tokens(self) -> int:
        """What is reserved."""
        return self.prompt + self.output

    def used(self, status: int, usage: Usage) -> tuple[int, int]:
        """Tokens of prompt and answers that count in the end.

        An answer that was not given counts nothing. One that the client left counts what was sent of it, or, where
        nothing can be known, what was reserved.
        """
        if status >= 400 and status != 499:
            return 0, 0
        if usage.prompt is not None:
            return usage.prompt, usage.output or 0
        if usage.chunks:
            return self.prompt, min(usage.chunks, self.output)
        return self.prompt, self.output


def bound(fields: dict[str, Any], model: Model, key: Key, limits: RequestLimits) -> Bounds:
    """Refuse what cannot fit into the model's context; set ``max_tokens`` where the client left it open.

    An engine ends an answer at the end of its context; so ``max_tokens`` stays open where the context ends it as early,
    or where the prompt is so long that it might not fit.

    Raises:
        RefusalError: 400.
    """
    size = measure(fields)
    if model.task is not Task.CHAT:
        return Bounds(size.estimate, 0)
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in fields]
    name = max(names, key=lambda name: fields[name], default="max_tokens")
    output: int | None = fields.get(name)
    if output is not None and output > limits.max_output_tokens:
        raise invalid(f"{name}: at most {limits.max_output_tokens}", name, "invalid_value")
    room = model.context_tokens - (output or 1)
    if room < 0 or (size.prompts == 1 and size.surely_exceeds(room)):
        raise invalid(
            f"The prompt and {name} together are longer than the {model.context_tokens} tokens of the model's context.",
            code="context_length_exceeded",
        )
    answers = size.prompts * fields.get("n", 1)
    if output is None:
        output = _default(fields, size, answers, model, key, limits)
    return Bounds(size.estimate, answers * output)


def _default(
    fields: dict[str, Any], size: PromptSize, answers: int, model: Model, key: Key, limits: RequestLimits
) -> int:
    output = limits.max_output_tokens
    if key.tokens_per_minute is not None:
        share = (key.tokens_per_minute - size.estimate) // answers
        if share > 0:
            output = min(share, output)
    if size.most + output <= model.context_tokens:
        fields["max_tokens"] = output
    return min(output, model.context_tokens)
