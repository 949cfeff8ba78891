"""The evaluator: plays whole episodes with parameters that it is given."""

from __future__ import annotations

import numpy as np

from acmelike.actors.policy_runner import Inference
from acmelike.agent import PolicyInputs
from acmelike.core import set_status
from acmelike.environments import EnvironmentFactory, Vector, make_vector_environment
from acmelike.evaluation.coordinator import Coordinator
from acmelike.types import Array, EnvironmentSpec


class Evaluator:
    """A worker; each step waits for an evaluation that is due and makes it.

    Args:
      inputs: with which the agent acts when it is evaluated.
      spec: of the environments.
      environment_factory: makes the environments; every episode is a fresh one.
      coordinator: says what to evaluate, and is told the result.
      num_episodes: of one evaluation, played side by side.
      seed: of the environments.
    """

    def __init__(
        self,
        *,
        inputs: PolicyInputs,
        spec: EnvironmentSpec,
        environment_factory: EnvironmentFactory,
        coordinator: Coordinator,
        num_episodes: int,
        seed: int,
    ):
        self._coordinator = coordinator
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_episodes, seed=seed
        )
        self._inputs, self._spec = inputs, spec
        self._num_episodes, self._seed = num_episodes, seed
        self._inference: Inference | None = None

    def step(self) -> None:
        """Makes the next evaluation."""
        task = self._coordinator.next_evaluation()
        if self._inference is None:
            self._inference = Inference(
                task.policy,
                self._inputs,
                self._spec,
                num_envs=self._num_episodes,
                seed=self._seed,
            )
        self._inference.set_parameters(task.parameters)
        returns = play_episodes(self._environment, self._inference)
        self._coordinator.report(task.number, returns)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()


def play_episodes(environment: Vector, inference: Inference) -> Array:
    """The undiscounted returns `[E]` of one fresh episode in each of E environments.

    In a node it says how many steps it has played: an episode may never end.
    """
    step = environment.reset()
    returns = np.zeros(step.reward.shape)
    playing = np.ones(step.reward.shape, bool)
    num_steps = 0
    while playing.any():
        action, _ = inference.act(step)
        step = environment.step(action)
        # An environment that has ended goes on with an episode that nobody counts.
        returns += np.where(playing, step.reward, 0.0)
        playing &= ~step.last()
        num_steps += 1
        set_status(f"has played {num_steps:,} steps")
    return returns
