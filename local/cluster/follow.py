"""The objects of one kind, kept as they are on the API server: list, then watch from there, for ever.

A list that fails or a stream that ends leads to a new list; what was known stays until then.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.cluster import rest

_LOG = logging.getLogger(__name__)
_SECONDS = 120
"""The longest time between two lists."""
_PAUSE = 1.0
_REFUSED = (401, 403)


class Follower:
    """A thread that follows a kind.

    Args:
        client: connection to the API server.
        api_version: group and version of the kind.
        kind: the kind.
        changed: called after each change, on the thread of the follower.
        fields: field selector.
    """

    def __init__(
        self,
        client: rest.Kubernetes,
        api_version: str,
        kind: str,
        changed: Callable[[], None],
        fields: str | None = None,
    ) -> None:
        self._client = client
        self._api_version = api_version
        self._kind = kind
        self._changed = changed
        self._fields = fields
        self._objects: dict[str, rest.Object] | None = None
        self._lock = threading.Lock()
        self._failure: str | None = None

    def start(self) -> None:
        """Begin. The thread ends with the process."""
        threading.Thread(target=self._run, name=f"follow {self._kind}", daemon=True).start()

    def objects(self) -> list[rest.Object] | None:
        """What is known; ``None`` before the first list."""
        with self._lock:
            return None if self._objects is None else list(self._objects.values())

    @property
    def failure(self) -> str | None:
        """Why it ended, where waiting will not help."""
        return self._failure

    def _run(self) -> None:
        silent = False
        while True:
            try:
                version = self._list()
                if silent:
                    _LOG.info("%s: the API server answers again", self._kind)
                silent = False
                began = time.monotonic()
                self._watch(version)
                if time.monotonic() - began < _PAUSE:  # a server that ends each stream at once
                    time.sleep(_PAUSE)
            except rest.UnknownKindError as error:
                return self._fail(f"the API server does not serve {self._kind}: {error}")
            except (rest.ApiError, rest.UnreachableError) as error:
                if isinstance(error, rest.ApiError) and error.status in _REFUSED:
                    return self._fail(f"the API server refuses to list or watch {self._kind}: {error}")
                if not silent:
                    _LOG.warning("%s: %s; what is known stays, trying again", self._kind, error)
                silent = True
                time.sleep(_PAUSE)
            except Exception as error:  # a thread that ends in silence would leave what is old in place for ever
                _LOG.exception("following %s", self._kind)
                return self._fail(f"following {self._kind} failed: {error!r}")

    def _fail(self, message: str) -> None:
        self._failure = message
        self._changed()

    def _list(self) -> str:
        path = self._client.resource(self._api_version, self._kind).path()
        params = {"fieldSelector": self._fields} if self._fields else {}
        answer = self._client.request("GET", path, params=params)
        with self._lock:
            self._objects = {_key(item): item for item in answer.get("items") or []}
        self._changed()
        return answer["metadata"]["resourceVersion"]

    def _watch(self, version: str) -> None:
        for change in self._client.watch(self._api_version, self._kind, _SECONDS, since=version, fields=self._fields):
            if change["type"] == "ERROR":  # mostly 410: the version is too old
                return
            key = _key(change["object"])
            with self._lock:
                assert self._objects is not None
                if change["type"] == "DELETED":
                    self._objects.pop(key, None)
                else:
                    self._objects[key] = change["object"]
            self._changed()


def _key(item: Mapping[str, Any]) -> str:
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"
