"""Progress of a long run: a line when a stage begins, its time when it ends, and all of them at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """The stages of one run.

    Attributes:
        number: how many there will be.
        done: what each took, in seconds, in order.
    """

    number: int
    done: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, what: str = "") -> Iterator[None]:
        """One stage; ``what`` says more in its first line."""
        print(f"[{len(self.done) + 1}/{self.number}] {name}{': ' if what else ''}{what}", flush=True)
        start = time.monotonic()
        try:
            yield
        finally:
            self.done[name] = time.monotonic() - start

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.done.items())
        return f"{parts}; together {sum(self.done.values()):.0f} s"
