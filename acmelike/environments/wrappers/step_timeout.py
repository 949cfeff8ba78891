"""Detects an environment that does not return from a step or a reset."""

from __future__ import annotations

import contextvars
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime  # The same from 3.11 on.
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Annotated, Any, TypeVar

import dm_env

from acmelike.checks import above, check_fields
from acmelike.environments.interface import EnvironmentFactory, make_rendering
from acmelike.environments.wrappers.restarting import refuse_vectors_inside
from acmelike.environments.wrappers.wrapper import EnvironmentWrapper, wrapped
from acmelike.types import NestedSpec

T = TypeVar("T")

# Closing may take longer than a step, such as when a simulator writes files.
_CLOSE_SECONDS = 30.0


def has_hanging_environment() -> bool:
    """Whether an environment of this process has not returned from a call in time."""
    return any(thread.was_late and not thread.is_free for thread in list(_threads))


class StepTimeout(EnvironmentWrapper):
    """An environment whose steps and resets fail when they take too long.

    It is made, stepped and closed in a thread of its own. Nothing can end a thread that
    hangs. After a timeout the thread therefore remains until the call returns or its
    process ends, and the environment refuses every further call.

    Args:
      make: makes the inner environment; this has no time limit.
      seconds: for each step and reset.
    """

    def __init__(
        self, make: Callable[[], dm_env.Environment], *, seconds: float
    ) -> None:
        self._seconds, self._thread = seconds, _EnvironmentThread()
        self._is_closed = False
        try:
            environment, spec = self._thread.call(partial(_make_with_spec, make))
        except BaseException:
            self._thread.end()
            raise
        super().__init__(environment, spec)

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode.

        Raises:
          TimeoutError: the environment has not returned in time, now or before.
        """
        return self._call(self._environment.reset)

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes one step.

        Raises:
          TimeoutError: the environment has not returned in time, now or before.
        """
        return self._call(partial(self._environment.step, action))

    def render(self) -> Any:
        """Renders the inner environment; raises what `step` raises."""
        return self._call(self._environment.render)

    def close(self) -> None:
        """Closes the inner environment, unless it hangs.

        If the wait for a call was interrupted, this waits for that call first.

        Raises:
          TimeoutError: it has not closed in time, which is 30 seconds, or the limit of
            a step if that is longer.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._thread.is_free or not self._thread.was_late:
                seconds = max(self._seconds, _CLOSE_SECONDS)
                self._thread.call(self._environment.close, seconds)
        finally:
            self._thread.end()

    def _call(self, function: Callable[[], T]) -> T:
        if self._thread.was_late:  # What that call returned is lost.
            raise TimeoutError("it has not returned from an earlier call in time")
        return self._thread.call(function, self._seconds)


def _make_with_spec(
    make: Callable[[], dm_env.Environment],
) -> tuple[dm_env.Environment, NestedSpec]:
    """Makes an environment and its observation spec; closes it if the spec fails."""
    environment = make()
    return environment, wrapped(environment, lambda made: made.observation_spec())


class _EnvironmentThread:
    """A thread that runs one function after the other.

    Attributes:
      was_late: whether one of them has not returned in time.
    """

    def __init__(self) -> None:
        _threads.add(self)
        self.was_late = False
        self._calls = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]()
        self._latest = Future[Any]()
        self._latest.set_result(None)
        # With the caller's context variables, such as the environment's place.
        run = partial(contextvars.copy_context().run, self._run)
        threading.Thread(target=run, name="environment", daemon=True).start()

    @property
    def is_free(self) -> bool:
        """Whether the latest function has returned."""
        return self._latest.done()

    def call(self, function: Callable[[], T], seconds: float | None = None) -> T:
        """Runs a function and returns what it returns, or raises what it raises.

        Raises:
          TimeoutError: it has not returned after so many seconds.
        """
        self._latest = future = Future[T]()
        self._calls.put((future, function))
        try:
            return future.result(seconds)
        except NotInTime:
            if future.done():
                return future.result()  # It just returned, or raised this error.
            self.was_late = True
            raise TimeoutError(f"it has not returned for {seconds:g} s") from None

    def end(self) -> None:
        """Ends the thread once the latest function has returned."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            try:
                future.set_result(function())
            except BaseException as error:  # `call` raises it.
                future.set_exception(error)


_threads: weakref.WeakSet[_EnvironmentThread] = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class StepTimeoutFactory:
    """An `EnvironmentFactory` of `StepTimeout`.

    Attributes:
      inner: makes the inner environments.
      seconds: for each step and reset.
    """

    inner: EnvironmentFactory
    seconds: Annotated[float, above(0)]

    def __post_init__(self) -> None:
        check_fields(self)
        refuse_vectors_inside(
            self.inner,
            "a vectorised environment steps all at once, in its own way: leave out "
            "'vec:' or 'envpool:', or step_timeout",
        )

    def __call__(self, seed: int) -> StepTimeout:
        return StepTimeout(partial(self.inner, seed), seconds=self.seconds)

    def make_rendering(self, seed: int) -> StepTimeout:
        """Makes one environment that can draw itself, if the inner factory can."""
        make = partial(make_rendering, self.inner, seed)
        return StepTimeout(make, seconds=self.seconds)
