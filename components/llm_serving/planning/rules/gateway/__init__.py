"""The gateway: its address, what it keeps in Redis, its models and its keys. Without one, nothing is refused."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.rules.gateway.address import check_address, note_address
from llm_serving.planning.rules.gateway.endpoint import check_endpoint, note_endpoint
from llm_serving.planning.rules.gateway.hosted import check_hosted, note_hosted
from llm_serving.planning.rules.gateway.keys import check_keys, note_keys
from llm_serving.planning.rules.gateway.models import check_models, note_models
from llm_serving.planning.rules.gateway.queue import check_queue
from llm_serving.planning.rules.gateway.stores import check_stores, note_stores
from llm_serving.planning.rules.stack import StackShape

PATH = "gateway"


def check_gateway(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``gateway``."""
    if stack.gateway is None:
        return
    # Of a stack without models nothing is served yet: what is said of its models is looked at once they are there.
    about_models = (check_models, check_hosted, check_keys) if stack.models else ()
    for topic in (check_endpoint, check_address, *about_models, check_stores, check_queue):
        yield from (problem.under(PATH) for problem in topic(stack, stack.gateway))


def note_gateway(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may surprise."""
    if stack.gateway is None:
        return
    about_what_is_served = (note_models, note_hosted, note_keys, note_stores) if stack.models else ()
    for topic in (note_endpoint, note_address, *about_what_is_served):
        yield from (problem.under(PATH) for problem in topic(stack, stack.gateway))
