"""Says whether a cache may be served: the init container in front of an engine."""

import time
from collections.abc import Callable

from llm_serving_load.completeness import find_damage
from llm_serving_load.errors import LoadError, TemporaryError
from llm_serving_load.manifest import Manifest
from llm_serving_load.targets import Target

_PAUSE_SECONDS = 2.0
_REPORT_SECONDS = 30.0


class Verifier:
    """Looks at a target, again and again for so many seconds where a loader may still be running."""

    def __init__(self, target: Target, say: Callable[[str], None], wait_seconds: float = 0.0) -> None:
        self._target = target
        self._say = say
        self._wait = wait_seconds

    def verify(self, repository: str | None, revision: str | None, *, deep: bool = False) -> Manifest:
        """The manifest of the complete copy; ``None`` accepts any model or revision.

        Raises:
            TemporaryError: it is not complete; a loader may make it so.
            LoadError: it is of another model or revision, or cannot be looked at.
        """
        end = time.monotonic() + self._wait
        next_report = time.monotonic()
        while True:
            try:
                return self._check(repository, revision, deep=deep)
            except TemporaryError as error:
                now = time.monotonic()
                if now >= end:
                    raise
                if now >= next_report:
                    self._say(f"waiting, {end - now:.0f} s more at most: {error}")
                    next_report = now + _REPORT_SECONDS
                time.sleep(min(_PAUSE_SECONDS, end - now))

    def _check(self, repository: str | None, revision: str | None, *, deep: bool) -> Manifest:
        manifest = self._target.manifest()
        if manifest is None:
            raise TemporaryError(
                f"{self._target.where}: there is no complete model; let the loader finish, or run it again"
            )
        for wanted, actual in ((repository, manifest.repository), (revision, manifest.revision)):
            if wanted not in (None, actual):
                raise LoadError(f"{self._target.where}: it holds {actual}, not {wanted}; load into another place")
        damage = find_damage(self._target, manifest, deep=deep)
        if damage is not None:
            again = "run the loader again with --deep" if deep else "run the loader again"
            raise TemporaryError(f"{self._target.where}: {damage}; {again}")
        return manifest
