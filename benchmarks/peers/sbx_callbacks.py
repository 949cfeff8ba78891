"""What looks at a run of Stable-Baselines Jax from inside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback


class Window(BaseCallback):
    """Reads clock and counts when a burst of updates is over, at two moments.

    Whole cycles of steps and updates lie between them.
    """

    def __init__(self, first_step: int, last_step: int):
        super().__init__()
        self._steps = [first_step, last_step]
        self.readings: list[tuple[float, int, int]] = []

    def _on_rollout_start(self) -> None:
        due = len(self.readings)
        if due < len(self._steps) and self.num_timesteps >= self._steps[due]:
            updates = self.model._n_updates
            self.readings.append((time.perf_counter(), self.num_timesteps, updates))

    def _on_step(self) -> bool:
        return len(self.readings) < len(self._steps)

    def rates(self) -> dict[str, Any]:
        """Environment steps and updates per second between the two."""
        (start, steps_0, updates_0), (end, steps_1, updates_1) = self.readings
        return {
            "env_steps_per_second": (steps_1 - steps_0) / (end - start),
            "updates_per_second": (updates_1 - updates_0) / (end - start),
            "env_steps": [steps_0, steps_1],
            "seconds": end - start,
        }


class Snapshots(BaseCallback):
    """Keeps the parameters every so many steps; that takes no time, nothing is copied.

    JAX's arrays never change, so a reference is as good as a copy.
    """

    def __init__(self, every: int, parameters: Callable[[Any], Any]):
        super().__init__()
        self._every, self._parameters_of = every, parameters
        self._started: float | None = None
        self.steps: list[int] = []
        self.seconds: list[float] = []
        self.parameters: list[Any] = []

    def _on_step(self) -> bool:
        now = time.perf_counter()
        if self._started is None:
            self._started = now
        if self.num_timesteps % self._every == 0:
            self.steps.append(self.num_timesteps)
            self.seconds.append(now - self._started)
            self.parameters.append(self._parameters_of(self.model))
        return True
