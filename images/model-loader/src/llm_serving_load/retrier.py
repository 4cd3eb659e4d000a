"""Requests that are made again: when a server stops in the middle, names a wait, or does not know of a right yet."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from llm_serving_load.errors import InterruptedTransferError, RefusedError, StoppedError, TemporaryError

_T = TypeVar("_T")

ATTEMPTS = 6
"""How often a server that stops is asked, unless somebody says otherwise."""
_FIRST_PAUSE, _MAX_PAUSE = 1.0, 8.0
"""Seconds before the second attempt, doubled before each further one."""
_MAX_GRANT_PAUSE = 15.0
"""Seconds to which the pause grows after refusals: minutes may pass until a right is known everywhere."""
_MAX_NAMED_WAIT = 300.0
"""Seconds that a server may name at most; the hub's windows are as long (huggingface.co/docs/hub/rate-limits)."""
_MAX_NAMED_WAITS = 900.0
"""Seconds of such waits for one request, after which asking again costs an attempt as without them."""
_REPORT_SECONDS = 10.0
"""Between two lines about waiting: eight workers wait at once."""
_SLICE = 0.1
"""Seconds after which somebody who pauses looks whether it is time to stop."""


def _never() -> bool:
    return False


def _silent(text: str) -> None:
    pass


class Retrier:
    """Makes requests again, from several threads.

    A request that is interrupted gets so many attempts. Where the server names how long to wait, that is waited for and
    costs no attempt, within bounds. A refusal is final, except within ``grant_timeout`` seconds after the first one:
    clouds take minutes until a right that was granted is known everywhere. (Google: two minutes as a rule, seven and
    more at times, https://cloud.google.com/iam/docs/access-change-propagation; AWS: "eventually consistent",
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html)

    No request is made any more once ``ended`` says so.
    """

    def __init__(
        self,
        attempts: int = ATTEMPTS,
        ended: Callable[[], bool] = _never,
        say: Callable[[str], None] = _silent,
        grant_timeout: float = 0.0,
    ) -> None:
        self._attempts = attempts
        self._ended = ended
        self._say = say
        self._grant_timeout = grant_timeout
        self._lock = threading.Lock()
        self._first_refusal: float | None = None
        self._next_report = 0.0

    def retry(self, request: Callable[[], _T]) -> _T:
        """What ``request`` returns, after as many attempts as it takes.

        Raises:
            RefusedError: it is still refused after ``grant_timeout``.
            TemporaryError: every attempt was interrupted.
            StoppedError: ``ended`` says so.
        """
        attempt, pause, waited = 1, _FIRST_PAUSE, 0.0
        while True:
            if self._ended():
                raise StoppedError
            try:
                return request()
            except InterruptedTransferError as error:
                named = _named_wait(error)
                if named is not None and waited + named <= _MAX_NAMED_WAITS:
                    waited += named
                    self._report(f"{error}; the server asks to wait: again in {named:.0f} s")
                    self._wait(named)
                    continue
                if attempt == self._attempts:
                    raise TemporaryError(f"{error}; given up after {attempt} attempts") from error
                attempt += 1
                self._wait(pause)
                pause = min(2 * pause, _MAX_PAUSE)
            except RefusedError as error:
                left = self._left_for_grants(error)
                self._report(
                    f"{error}; a right that was granted a moment ago is not known everywhere yet: asked again for "
                    f"{left:.0f} s more at most"
                )
                self._wait(min(pause, left))
                pause = min(2 * pause, _MAX_GRANT_PAUSE)

    def _left_for_grants(self, error: RefusedError) -> float:
        """Seconds for which a refusal still counts as temporary; raises it once none are left."""
        if not self._grant_timeout:
            raise error
        with self._lock:
            now = time.monotonic()
            if self._first_refusal is None:
                self._first_refusal = now
            left = self._first_refusal + self._grant_timeout - now
        if left <= 0:
            raise RefusedError(
                f"{error}; refused since {self._grant_timeout:.0f} s, which is longer than rights take to spread: "
                "grant the right, then load again"
            ) from error
        return left

    def _report(self, text: str) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next_report:
                return
            self._next_report = now + _REPORT_SECONDS
        self._say(text)

    def _wait(self, seconds: float) -> None:
        # Not Event.wait(): it holds a lock for moments, and a signal handler that comes in such a moment and sets the
        # event would wait for that lock for ever.
        end = time.monotonic() + seconds
        while not self._ended() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


def _named_wait(error: InterruptedTransferError) -> float | None:
    """Seconds to wait where the server names some; one more, because it counts in whole ones."""
    return None if error.retry_after is None else min(error.retry_after + 1, _MAX_NAMED_WAIT)
