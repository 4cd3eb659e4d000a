"""The circuit breakers of one gateway: of the stable back end of each model, and of each hosted provider.

Weighted back ends have none. A canary that fails must be asked at its weight all the same, and what fails there goes to
the stable one. Engines behind a router have the router's, each its own.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge  # pyright: ignore[reportMissingImports]

from llm_serving_gateway.backend_order import BackEnd
from llm_serving_gateway.circuit_breaker import CircuitBreaker, State
from llm_serving_gateway.configuration import Configuration

_STATE = Gauge("llm_gateway_breaker_state", "0: requests pass; 1: one tries; 2: none pass", ["back_end"])
_OPENED = Counter("llm_gateway_breaker_opened_total", "How often a breaker has opened", ["back_end"])


def name_of(back_end: BackEnd) -> str | None:
    """The name of a back end's breaker; ``None`` where it has none."""
    if back_end.route == "weighted":
        return None
    return _stable(back_end.model) if back_end.provider is None else _hosted(back_end.provider)


def _stable(model: str) -> str:
    return f"{model}/stable"


def _hosted(provider: str) -> str:
    return f"hosted/{provider}"


def breakers(configuration: Configuration) -> Mapping[str, CircuitBreaker]:
    """A breaker for each back end that has one, by its name."""
    names = [_stable(model.name) for model in configuration.models]
    names += [_hosted(provider.name) for provider in configuration.hosted]

    def breaker(name: str) -> CircuitBreaker:
        def changed(state: State) -> None:
            _STATE.labels(name).set(state)
            if state is State.OPEN:
                _OPENED.labels(name).inc()

        return CircuitBreaker(configuration.breaker, changed)

    return {name: breaker(name) for name in names}
