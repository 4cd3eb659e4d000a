"""Prices of tokens, and budgets."""

from typing import Annotated

from pydantic import Field, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.spec.names import MAX_AMOUNT, PositiveAmount

Dollars = Annotated[float, Field(gt=0, le=1_000_000)]
PriceInDollars = Annotated[float, Field(ge=0, le=MAX_AMOUNT)]
Days = Annotated[int, Field(ge=1, le=366)]


class BudgetSpec(Frozen):
    """What a key, or all requests to a hosted provider, may spend in a period."""

    usd: Dollars | None = None
    """US dollars, by the models' prices; left out: no limit."""
    tokens: PositiveAmount | None = None
    """Tokens, those of prompts and of answers together; left out: no limit."""
    days: Days = 30
    """Length of the period in days; 30 by default."""

    @model_validator(mode="after")
    def _limits_something(self) -> "BudgetSpec":
        if self.usd is None and self.tokens is None:
            reason = "required where no tokens are given: a budget limits one of them, or both"
            raise ProblemsError([Problem("usd", None, reason, Suggestion(values=[100.0]))])
        return self


class PriceSpec(Frozen):
    """What a model's tokens cost, for budgets and reports."""

    usd_per_million_input_tokens: PriceInDollars
    """US dollars for a million tokens of prompts."""
    usd_per_million_output_tokens: PriceInDollars
    """US dollars for a million tokens of answers."""
