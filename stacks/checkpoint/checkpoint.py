"""What was read of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_serving.spec import ModelFacts


@dataclass(frozen=True)
class Checkpoint:
    """What a model's own files say.

    Attributes:
        where: the place in words.
        facts: shape, size and storage.
        sampling: sampling defaults of its ``generation_config.json``.
        chat_template: template of its tokenizer; ``None`` where it has none.
        license: what its card says; ``None`` where it says nothing.
        has_weights: sizes of weights were read, not computed.
    """

    where: str
    facts: ModelFacts
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])
    chat_template: str | None = None
    license: str | None = None
    has_weights: bool = False
