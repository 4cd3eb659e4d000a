"""What KEDA and the HPA make of a ScaledObject: the formula evaluated, and a small fleet that follows its value.

The formula is written in what expr-lang and Python have in common: ``let`` lines of arithmetic with ``min``, ``max``,
``ceil`` and ``floor``. That real KEDA reads it the same way is what ``tests/autoscaling`` shows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_FUNCTIONS = {"__builtins__": {}, "min": min, "max": max, "ceil": math.ceil, "floor": math.floor}


def evaluate(formula: str, metrics: Mapping[str, float]) -> float:
    """The formula's value; metrics are cut to thousandths, as KEDA does."""
    names: dict[str, Any] = {name: math.trunc(value * 1000) / 1000 for name, value in metrics.items()}
    *lets, last = formula.split(";")
    for line in lets:
        name, expression = line.strip().removeprefix("let ").split(" = ", 1)
        assert name not in names, f"{name} is declared twice"
        names[name] = eval(expression, _FUNCTIONS, names)
    return math.trunc(float(eval(last.strip(), _FUNCTIONS, names)) * 1000) / 1000


def hpa(value: float, replicas: int, fewest: int, most: int) -> int:
    """What the HPA recommends for an AverageValue over 1, before its behaviour:
    https://github.com/kubernetes/kubernetes/blob/v1.34.1/pkg/controller/podautoscaler/replica_calculator.go"""
    assert value >= 0, "the HPA takes a negative value for the largest number"
    ratio = value / replicas
    wanted = replicas if 0.9 <= ratio <= 1.1 else math.ceil(value)
    return max(fewest, min(wanted, most))


@dataclass
class Fleet:
    """Instances that follow the value, without the HPA's patience: what it would recommend happens at once.

    Attributes:
        formula: of the ScaledObject.
        slots: requests that an instance runs at once.
        start: steps that an instance takes to get ready; ``None`` for "never".
        replicas: instances asked for.
        ready: of these, ready.
        base: of these, never scaled.
        best: most requests that an instance has run at once.
        history: instances asked for, step by step.
    """

    formula: str
    slots: int
    start: int | None = 0
    replicas: int = 1
    ready: int = 1
    base: int = 0
    fewest: int = 1
    most: int = 1000
    best: int = 0
    history: list[int] = field(default_factory=list[int])
    _loading: list[int] = field(default_factory=list[int])

    def step(self, load: int, **more: float) -> int:
        """One reading, with ``load`` requests in the system."""
        self._loading = [left - 1 for left in self._loading]
        self.ready += sum(left < 0 for left in self._loading)
        self._loading = [left for left in self._loading if left >= 0]
        wanted = hpa(evaluate(self.formula, self.metrics(load, **more)), self.replicas - self.base, *self._bounds())
        self._resize(wanted + self.base)
        self.history.append(self.replicas)
        return self.replicas

    def metrics(self, load: int, **more: float) -> dict[str, float]:
        """What the queries would say."""
        each = math.ceil(load / self.ready) if self.ready else 0
        running = min(each, self.slots)
        self.best = max(self.best, running)
        waiting = max(0, load - self.ready * self.slots) if self.ready else 0
        known = {
            "requests": load if self.ready else 0,
            "waiting": waiting / self.ready if self.ready else 0,
            "running": running,
            "capacity": self.best,
            "queued": waiting,
            "ready": self.ready,
            "replicas": self.replicas,
            "steady": self.ready,
            "ttft": 0.0,
            "gpu": 100.0 if load else 0.0,
        }
        return {**known, **more}

    def _bounds(self) -> tuple[int, int]:
        return max(self.fewest - self.base, 1), self.most - self.base

    def _resize(self, wanted: int) -> None:
        added = wanted - self.replicas
        self.replicas = wanted
        if added > 0:
            self._loading += [10**9 if self.start is None else self.start] * added
        for _ in range(-added):
            if self._loading:
                self._loading.pop()
            else:
                self.ready -= 1
