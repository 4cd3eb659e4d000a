"""Whether a key may be in the table of a stack: by the rules of those in its settings."""

from collections.abc import Iterator
from dataclasses import replace

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.gateway.keys import check_keys
from llm_serving.spec import KeySpec
from stacks.settings import Stack
from stacks.settings.resolve import stack_shape

_PATH = "keys[0]."


def check_table_key(stack: Stack, key: KeySpec) -> Iterator[Problem]:
    """What is wrong with it: a team or model that the stack does not have, a budget that nothing counts, a name of the
    settings. Paths are those of the key."""
    gateway = stack.settings.gateway
    assert gateway is not None, "a stack without a gateway has no table"
    if any(each.name == key.name for each in gateway.keys):
        reason = f"is the name of a key of {stack.source}: both would share limits and budget"
        yield Problem("name", key.name, reason, Suggestion("another name", needs=Needs.FACT))
    alone = gateway.model_copy(update={"keys": (key,)})
    for problem in check_keys(stack_shape(stack.settings, {}), alone):
        # Its repairs are changes of a settings file, where it does not stand.
        yield replace(problem, path=problem.path.removeprefix(_PATH))
