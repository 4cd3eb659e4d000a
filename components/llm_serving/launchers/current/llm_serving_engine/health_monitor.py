"""What the launcher knows about the engine: does it start, answer, stall, drain or fail.

One thread probes the engine; the main thread adds what it knows of the process. Readers take the last observation
and wait for nobody, so that a probe of the kubelet costs no request.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from llm_serving_engine.client import EngineClient, NoAnswerError
from llm_serving_engine.stall import StallDetector
from llm_serving_engine.startup_stages import StartupStages
from llm_serving_engine.warm_up import WarmUp, WarmUpError

_FAILURES = 3
"""So many probes in a row must fail before an engine counts as dead: after a pause of the whole machine the clock alone
would say so."""


_STARTING_PAUSE = 0.25


class Status(StrEnum):
    """The engine in one word."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True)
class Observation:
    """What the probes have shown so far.

    Attributes:
        model: the model that answers, ``None`` before the engine was ready for the first time.
        answering: the last probe found a healthy engine that serves the model.
        reason: why not, where it did not.
        failures: failed probes in a row since it was ready.
        failing_since: clock at the first of them.
        unhealthy: all of them were answers: the engine itself says that it is dead.
    """

    model: str | None = None
    answering: bool = False
    reason: str | None = "the engine has not answered yet"
    failures: int = 0
    failing_since: float | None = None
    unhealthy: bool = False


class HealthMonitor:
    """Probes the engine from time to time and says how it does.

    Args:
        client: asks it.
        model: name that it must list; ``None``: any.
        stall_seconds, probe_timeout: see :class:`llm_serving_engine.options.Options`.
        stages: is told when a stage of the start is over.
        warm_up: what the engine must answer before it counts as ready, if anything.
        health_path: see :class:`llm_serving_engine.options.Options`.
        requests: number of requests that are being answered, as far as it is known outside of the engine.
        on_ready: called once, when it is ready for the first time.
        on_failed_start: called with the reason if the warm-up failed; no probe follows.
    """

    def __init__(
        self,
        client: EngineClient,
        model: str | None,
        stall_seconds: float,
        probe_timeout: float,
        *,
        stages: StartupStages | None = None,
        warm_up: WarmUp | None = None,
        health_path: str = "/health",
        requests: Callable[[], int] = lambda: 0,
        on_ready: Callable[[], None] = lambda: None,
        on_failed_start: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._client = client
        self._model = model
        self._stall_seconds = stall_seconds
        self._timeout = probe_timeout
        self._stages = stages or StartupStages()
        self._warm_up = warm_up
        self._health_path = health_path
        self._stall = StallDetector(client, stall_seconds, probe_timeout, requests)
        self._on_ready = on_ready
        self._on_failed_start = on_failed_start
        # Each of the four is written by one thread only and replaced as a whole.
        self._observation = Observation()
        self._failed_start: str | None = None
        self._draining = False
        self._exit_status: int | None = None

    def probe(self) -> None:
        """Ask the engine once. Whatever goes wrong is a failed probe: the thread must go on, or nobody sees it fail."""
        before = self._observation
        try:
            model = self._ask(before.model)
            if before.model is None:
                self._prepare(model)
        except WarmUpError as error:
            self._failed_start = str(error)
            with contextlib.suppress(Exception):
                self._on_failed_start(self._failed_start)
        except NoAnswerError as error:
            self._observation = self._failed(before, str(error), unhealthy=False)
        except _UnhealthyError as error:
            self._observation = self._failed(before, str(error), unhealthy=True)
        except Exception as error:
            # Not its text, which may hold a request's headers and with them the key.
            reason = f"the look at the engine failed with {type(error).__name__}"
            self._observation = self._failed(before, reason, unhealthy=False)
        else:
            if before.model is None:
                self._stages.ready()  # first: who sees it ready also finds how long that took
            self._observation = Observation(model=model, answering=True, reason=None)
            if before.model is None:
                with contextlib.suppress(Exception):  # it tells people; a log that is closed ends no monitoring
                    self._on_ready()
        observation = self._observation
        if observation.model is not None:
            with contextlib.suppress(Exception):  # the thread must go on
                self._stall.look(observation.model, late=not observation.answering)

    def keep_probing(self, pause: float, end: threading.Event) -> None:
        """Probe every ``pause`` seconds, more often while the engine starts, until ``end`` is set."""
        while not end.is_set() and self._failed_start is None:
            self.probe()
            # A port on which nobody listens answers at once: a start is seen soon.
            end.wait(pause if self._observation.model is not None else min(pause, _STARTING_PAUSE))

    def drain(self) -> None:
        """The engine was told to stop: from now on it is not ready."""
        self._draining = True

    def ended(self, exit_status: int) -> None:
        """The engine's process is gone."""
        self._exit_status = exit_status

    @property
    def model(self) -> str | None:
        """Name of the model: the one that answers, else the one that is expected."""
        return self._observation.model or self._model

    @property
    def model_loaded(self) -> bool:
        """The process lives and has answered for its model."""
        return self._observation.model is not None and self._exit_status is None

    @property
    def answering(self) -> bool:
        """The last probe was answered by a living process: it is worth asking it for more."""
        return self._observation.answering and self._exit_status is None

    @property
    def status(self) -> Status:
        """The engine in one word."""
        observation = self._observation
        if self._exit_status is not None or self._failed_start is not None:
            return Status.FAILED
        if self._draining:
            return Status.DRAINING
        if observation.model is None:
            return Status.STARTING
        return Status.READY if observation.answering and not self._stall.stalled else Status.FAILED

    @property
    def live(self) -> bool:
        """Waiting may still help: the process runs, and once it was ready it is not dead by its own word, does
        something for the requests that it has, and answers in time or at least computes. An engine that drains may
        close its port before it ends."""
        if self._exit_status is not None or self._failed_start is not None:
            return False
        if self._draining:
            return True
        if self._stall.stalled:
            return False
        observation = self._observation
        if observation.failures < _FAILURES or observation.failing_since is None:
            return True
        if observation.unhealthy:
            return False
        return time.monotonic() - observation.failing_since < self._stall_seconds or self._stall.moving

    @property
    def reason(self) -> str | None:
        """Why the engine is not ready; ``None`` where it is."""
        if self._failed_start is not None:
            return self._failed_start
        if self._exit_status is not None:
            return f"the engine ended with status {self._exit_status}"
        if self._draining:
            return "the engine was told to stop"
        if self._stall.stalled:
            return f"the engine has requests, and none of its counters has moved for {self._stall_seconds:g} s"
        return self._observation.reason

    def _ask(self, known: str | None) -> str:
        answer = self._client.get(self._health_path, self._timeout)
        if answer.status >= 500:
            raise _UnhealthyError(f"{self._health_path} answers {answer.status}")
        if answer.status != 200:
            raise NoAnswerError(f"{self._health_path} answers {answer.status}")
        self._stages.ended("engine")
        # A model stays loaded: the list is asked for until it is there, and no more, since engines log each request.
        return known if known is not None else self._listed()

    def _listed(self) -> str:
        models = self._client.models(self._timeout)
        if self._model is None and models:
            return models[0]
        if self._model is not None and self._model in models:
            return self._model
        raise NoAnswerError(f"the engine serves {', '.join(models) or 'no model'}, not {self._model or 'a model'}")

    def _prepare(self, model: str) -> None:
        """What is left of the start once the model is listed."""
        self._stages.ended("model")
        if self._warm_up is not None:
            self._observation = replace(self._observation, reason="the warm-up request is not answered yet")
            self._warm_up.run(model)
            self._stages.ended("warm_up")

    def _failed(self, before: Observation, reason: str, *, unhealthy: bool) -> Observation:
        if before.model is None:
            return replace(before, reason=reason)
        return replace(
            before,
            answering=False,
            reason=reason,
            failures=before.failures + 1,
            failing_since=before.failing_since if before.failing_since is not None else time.monotonic(),
            unhealthy=unhealthy and (before.unhealthy or before.failures == 0),
        )


class _UnhealthyError(Exception):
    """The engine answers, and says that it is not healthy."""
