"""Limits and budgets of keys: requests and tokens a minute, requests at once, tokens and dollars a period.

LiteLLM has limiters of its own, which are not used. Its windows are fixed minutes (twice the limit passes around the
turn of one); tokens are counted after the answer, so that what runs at once passes together; a parallel request whose
worker died is never given back; spend is kept without a period and reserved at the model's full output price; a Redis
that hangs costs 5 s a request. Here one script of Lua decides and reserves in one step, so that the numbers are exact
over all replicas:

- **Minute**: buckets of one second over the last 61, so that in no 60 s more than the limit passes.
- **Tokens**: prompt (estimated) and ``max_tokens`` are reserved; what was used replaces that when the answer ends.
- **At once**: a lease a request, renewed while it runs; those of a worker that died expire.
- **Budget**: what is used and what is reserved in the period together; a lease that expires counts as used in full.

What ends while Redis is away is settled when it is back, however long that takes; what runs on is reserved there
anew.

With a table (:mod:`.budget_table`) each replica writes there what it counted. A Redis that was emptied or lost learns
of it from there, and a budget that Redis cannot say is looked up there.

Without Redis (:mod:`.local`) each replica grants its share, and budgets end after a set time, unless the table answers.
"""

from llm_serving_gateway.limits.budget_table import BudgetTable
from llm_serving_gateway.limits.limiter import Lease, Limiter, LimitError
from llm_serving_gateway.limits.reservation import Limits, Reservation
from llm_serving_gateway.limits.shared import SharedLimits

__all__ = ["BudgetTable", "Lease", "LimitError", "Limiter", "Limits", "Reservation", "SharedLimits"]
