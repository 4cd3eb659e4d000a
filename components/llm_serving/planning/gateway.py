"""What a gateway does with each model of a stack."""

from llm_serving.spec import GatewaySpec, ModelSpec, Routing


def routing_of(gateway: GatewaySpec, model: ModelSpec) -> Routing:
    """What spreads the requests over the instances of a model's releases. A router finds instances by their pods, of
    which one that has several nodes has several, and one alone answers."""
    chosen = gateway.model(model.name).routing
    if chosen is None and model.engine.nodes > 1:
        return Routing.SERVICE
    return chosen or gateway.routing
