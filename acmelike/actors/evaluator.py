"""The evaluator: plays whole episodes with parameters that it is given."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from acmelike.agent import Builder
from acmelike.coordinator import Coordinator
from acmelike.environments import EnvironmentFactory, VectorEnvironment
from acmelike.types import Array, EnvironmentSpec, Nested

if TYPE_CHECKING:
    from acmelike.actors.inference import Inference


class Evaluator:
    """A worker; each step waits for an evaluation that is due and makes it.

    Args:
      builder: of the agent.
      spec: of the environments.
      environment_factory: makes the environments; every episode is a fresh one.
      coordinator: says what to evaluate, and is told the result.
      num_episodes: of one evaluation, played side by side.
      seed: of the environments.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        spec: EnvironmentSpec,
        environment_factory: EnvironmentFactory,
        coordinator: Coordinator,
        num_episodes: int,
        seed: int,
    ):
        self._coordinator = coordinator
        self._environment = VectorEnvironment(
            environment_factory, num_envs=num_episodes, seed=seed
        )
        self._make_inference = partial(
            _make_inference, builder, spec, num_episodes, seed
        )
        self._inference: Inference | None = None

    def step(self) -> None:
        """Makes the next evaluation."""
        task = self._coordinator.next_evaluation()
        returns = self._play(task.parameters)
        self._coordinator.report(task.number, returns)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()

    def _play(self, parameters: Nested) -> Array:
        """The undiscounted returns `[E]` of one fresh episode in every environment."""
        # Not before: when a program starts, others have more use for the cores.
        if self._inference is None:
            self._inference = self._make_inference()
        self._inference.set_parameters(parameters)
        step = self._environment.reset()
        returns = np.zeros(step.reward.shape)
        playing = np.ones(step.reward.shape, bool)
        while playing.any():
            step = self._environment.step(self._inference.act(step.observation))
            # An environment that has ended goes on with an episode that nobody counts.
            returns += np.where(playing, step.reward, 0.0)
            playing &= ~step.last()
        return returns


def _make_inference(
    builder: Builder, spec: EnvironmentSpec, num_episodes: int, seed: int
) -> Inference:
    # JAX is imported where a node runs, not where its program is made.
    from acmelike.actors.inference import Inference

    policy = builder.make_greedy_policy(spec)
    return Inference(policy, spec, num_envs=num_episodes, seed=seed)
