"""Clients that ask again and again, and count what fails."""

import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from tests.e2e.served import MODEL, QUESTION, Served
from tests.engine.local_stack import wait_until

PAUSE_SECONDS = 0.3
"""Between an answer and the next question, so that on two cores an instance that starts gets some of them; after an
error too, which a client would else count a thousand times a second.
"""


@dataclass
class Load:
    """Requests in flight while a test does something.

    Attributes:
        served: whom to ask; answers before the first of these requests.
        clients: how many ask at the same time.
        tokens: how long an answer is.
        patience: seconds after which a request without an answer has failed.
        answered: requests that were answered in full.
        failed: what the others failed with, and how often.
    """

    served: Served
    clients: int = 2
    tokens: int = 24
    patience: float = 60
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Load":
        # What came before may have left an instance that is ready, and of which its Service has not heard yet.
        wait_until(self.served.answers, 60, "the Service leads to an instance")
        base = self.served.base()
        self._threads = [threading.Thread(target=self._ask, args=(base,), daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(self.patience + 30)

    @property
    def total(self) -> int:
        return self.answered + sum(self.failed.values())

    def _ask(self, base: str) -> None:
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": self.tokens, "ignore_eos": True}
        while not self._ended.is_set():
            try:
                answer = self.served.ask("/v1/chat/completions", body, base=base, timeout=self.patience)
                whole = answer["usage"]["completion_tokens"] > 0
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                with self._lock:
                    self.failed[f"{type(error).__name__}: {error}"] += 1
            else:
                with self._lock:
                    self.answered += whole
                    self.failed["no tokens"] += not whole
                    self.failed += Counter()
            self._ended.wait(PAUSE_SECONDS)
