"""A bell that rings when objects change, so that a controller need not list them again and again in between."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.cluster import rest

_PAUSE = 1.0


class Bell:
    """Rings at changes of some kinds, at the beginning, and where it may have missed one: when a watch begins anew.

    Args:
        client: connection to the API server.
        kinds: kinds of ``v1``.
        matters: says whether a change is worth a ring; by default every one is.
    """

    def __init__(
        self,
        client: rest.Kubernetes,
        kinds: Iterable[str],
        matters: Callable[[str, Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self._client = client
        self._matters = matters
        self._rung = threading.Event()
        self._rung.set()
        for kind in kinds:
            threading.Thread(target=self._listen, args=(kind,), daemon=True).start()

    def _listen(self, kind: str) -> None:
        while True:
            began = time.monotonic()
            try:
                version = self._client.newest_version("v1", kind)
                self._rung.set()  # whatever changed since the last watch ended
                for change in self._client.watch("v1", kind, since=version):
                    if self._matters is None or self._matters(kind, change):
                        self._rung.set()
                if time.monotonic() - began < _PAUSE:  # a server that ends each stream at once
                    time.sleep(_PAUSE)
            except (rest.ApiError, rest.UnreachableError):
                time.sleep(_PAUSE)

    def take(self) -> bool:
        """It has rung since the last time."""
        rung = self._rung.is_set()
        if rung:  # only then: it may have rung just now
            self._rung.clear()
        return rung

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, ``seconds`` at most; say whether it has."""
        self._rung.wait(seconds)
        return self.take()
