"""Where the gateway runs, and how many pods it has."""

from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.names import is_reserved_namespace
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, ServiceClass


def check_endpoint(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """A namespace of its own, and a second pod for what is critical."""
    yield from _namespace(stack, gateway)
    critical = [f"model {model.name}" for model in stack.models if model.service_class is ServiceClass.CRITICAL]
    critical += [f"key {key.name}" for key in gateway.keys if key.service_class is ServiceClass.CRITICAL]
    fewest = gateway.replicas.min
    if critical and fewest < _FEWEST_FOR_CRITICAL:
        reason = f"{critical[0]} is critical, and {fewest} pod answers nobody while its node is replaced"
        more = {"": _FEWEST_FOR_CRITICAL, "max": max(_FEWEST_FOR_CRITICAL, gateway.replicas.max)}
        yield Problem("replicas.min", fewest, reason, Suggestion(str(_FEWEST_FOR_CRITICAL), edits=[more]))


_FEWEST_FOR_CRITICAL = 2


def _namespace(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    name, teams = gateway.namespace, [team.name for team in stack.teams]
    if name in teams:
        reason = "is a team's namespace, whose models the gateway alone reaches: it has one of its own"
    elif is_reserved_namespace(stack.cloud, name):
        reason = "belongs to the platform"
    else:
        return
    names = ("llm-gateway", "llm-gateway-2", f"{name[:30]}-gateway")
    free = next(each for each in names if each not in teams)
    yield Problem("namespace", name, reason, Suggestion(values=[free]))


def note_endpoint(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Nothing behind it, and one pod."""
    if not stack.models:
        reason = "there is no model to put a gateway in front of: of it the namespace alone is made"
        yield Problem("", None, reason, Suggestion("a model", needs=Needs.CHOICE))
    if gateway.replicas.min == 1:
        reason = "one pod answers nobody while its node is replaced, or the gateway is updated on a full node"
        yield Problem("replicas.min", 1, reason, Suggestion("2", needs=Needs.CHOICE))
