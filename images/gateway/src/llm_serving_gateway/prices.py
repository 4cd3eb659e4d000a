"""What tokens cost: at the price of the model that answers, whichever was asked for."""

import math
from typing import Protocol

from llm_serving_gateway.limits.reservation import NANO


class Priced(Protocol):
    """A model of ours, or a provider's."""

    @property
    def usd_per_million_input_tokens(self) -> float:
        """US dollars for a million tokens of prompts."""
        ...

    @property
    def usd_per_million_output_tokens(self) -> float:
        """US dollars for a million tokens of answers."""
        ...


def price(model: Priced, prompt: int, output: int) -> int:
    """What so many tokens cost, in billionths of a dollar, rounded up."""
    usd = (prompt * model.usd_per_million_input_tokens + output * model.usd_per_million_output_tokens) / 1e6
    return math.ceil(usd * NANO)
