"""A model as the gateway in front of it knows it."""

from llm_serving.arguments import Frozen
from llm_serving.spec.facts import Task
from llm_serving.spec.gateway import Routing
from llm_serving.spec.model import ServiceClass
from llm_serving.spec.names import ModelName, PositiveAmount


class ModelEndpoint(Frozen):
    """A model that clients may ask by its name. Nothing of its releases, which change without the gateway."""

    name: ModelName
    """Name of the model, as clients use it."""
    context_tokens: PositiveAmount
    """Tokens of prompt and answer together that every release of it takes."""
    task: Task = Task.GENERATE
    """`generate` (the default), `embed` or `classify`: what it is asked for."""
    service_class: ServiceClass = ServiceClass.STANDARD
    """`critical`, `standard` (the default) or `batch`."""
    cold_start_seconds: PositiveAmount | None = None
    """Time that its first instance is planned to take until it answers, where it may have none; left out: it always
    has one."""
    routing: Routing = Routing.ROUTER
    """`router` (the default): a router of its release asks its engines. `service`: the gateway's proxy does."""
