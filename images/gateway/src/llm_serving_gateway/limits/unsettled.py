"""What ended while Redis was away, and is counted there once it is back."""

import uuid
from collections import deque
from dataclasses import dataclass, replace

from llm_serving_gateway.limits.reservation import Reservation

MOST = 100_000
"""Reservations that are kept; what Redis was never told of is kept as a sum for each key, and is no part of them."""


@dataclass(eq=False)
class Entry:
    """One reservation, or the sum of those of a key that were granted without Redis.

    Attributes:
        held: the reservation.
        period: of its budget, when it ended.
        tokens: used, and ``nano`` likewise.
        back: it is only to be given back: nobody knows whether Redis had reserved it.
        is_sum: Redis knows none of it.
        tried: Redis was told, and did not answer.
    """

    held: Reservation
    period: int
    tokens: int
    nano: int
    back: bool = False
    is_sum: bool = False
    tried: bool = False


class Unsettled:
    """A queue, the oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._sums: dict[tuple[str, int], Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> Entry | None:
        """Keep one; returns the one that had to go for it, if any."""
        lost = None
        if len(self._entries) >= MOST and not entry.is_sum:
            lost = next(each for each in self._entries if not each.is_sum)
            self._entries.remove(lost)
        self._entries.append(entry)
        return lost

    def add_to_sum(self, ended: Reservation, period: int, tokens: int, nano: int) -> None:
        """Keep what was used of one that Redis knows nothing of."""
        name = ended.limits.name
        entry = self._sums.get((name, period))
        if entry is None or entry.tried:
            held = replace(ended, id=uuid.uuid4().hex, tokens=0, nano=0)
            entry = self._sums[name, period] = Entry(held, period, 0, 0, is_sum=True)
            self.add(entry)
        entry.tokens += tokens
        entry.nano += nano

    def first(self) -> Entry | None:
        """The oldest; ``None`` where there is none."""
        return self._entries[0] if self._entries else None

    def done(self, entry: Entry) -> None:
        """It is settled."""
        self._entries.remove(entry)
        key = (entry.held.limits.name, entry.period)
        if self._sums.get(key) is entry:
            del self._sums[key]
