"""The evaluator: the node that plays whole episodes with given parameters."""

from __future__ import annotations

import numpy as np

from acmelike.actors.policy_runner import Inference
from acmelike.agent import PolicyInputs
from acmelike.core import set_status
from acmelike.environments import EnvironmentFactory, Vector, make_vector_environment
from acmelike.evaluation.coordinator import Coordinator
from acmelike.types import Array, EnvironmentSpec


class Evaluator:
    """A worker; each step makes one evaluation.

    Args:
      inputs: the agent's inputs of the greedy policy.
      spec: of the environments.
      environment_factory: makes the environments.
      coordinator: hands out the evaluations and takes the returns.
      num_envs: environments, which are stepped side by side.
      num_episodes: episodes of one evaluation, at least `num_envs`.
      seed: of the environments and of the policy.
    """

    def __init__(
        self,
        *,
        inputs: PolicyInputs,
        spec: EnvironmentSpec,
        environment_factory: EnvironmentFactory,
        coordinator: Coordinator,
        num_envs: int,
        num_episodes: int,
        seed: int,
    ):
        self._coordinator = coordinator
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        self._inputs, self._spec = inputs, spec
        self._num_episodes, self._seed = num_episodes, seed
        self._inference: Inference | None = None

    def step(self) -> None:
        """Waits for the next evaluation, makes it and reports the returns."""
        task = self._coordinator.next_evaluation()
        if self._inference is None:
            self._inference = Inference(
                task.policy,
                self._inputs,
                self._spec,
                num_envs=self._environment.num_envs,
                seed=self._seed,
            )
        self._inference.set_parameters(task.parameters)
        returns = play_episodes(self._environment, self._inference, self._num_episodes)
        self._coordinator.report(task.number, returns)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()


def play_episodes(
    environment: Vector, inference: Inference, num_episodes: int
) -> Array:
    """Plays whole episodes in N environments, in each as many as in the others, or one.

    How many each plays is known before: if those that end first counted, short
    episodes would count too often.

    An episode may never end, so the status of the calling node tells the number of
    steps played.

    Args:
      environment: with N environments.
      inference: acts in them.
      num_episodes: E, at least N.

    Returns:
      `[E]`, the undiscounted returns, ordered by environment.
    """
    num_envs = environment.num_envs
    wanted = [num_episodes // num_envs] * num_envs
    for more in range(num_episodes % num_envs):
        wanted[more] += 1
    returns: list[list[float]] = [[] for _ in range(num_envs)]
    step, so_far = environment.reset(), np.zeros(num_envs)
    num_steps = num_played = 0
    while num_played < num_episodes:
        action, _ = inference.act(step)
        step = environment.step(action)
        so_far += step.reward
        so_far[step.first()] = 0.0  # Or an environment that failed was made again.
        for k in step.last().nonzero()[0]:
            # One that has played enough goes on, but is not counted.
            if len(returns[k]) < wanted[k]:
                returns[k].append(so_far[k])
                num_played += 1
        num_steps += 1
        set_status(f"has played {num_steps:,} steps")
    return np.concatenate(returns)
