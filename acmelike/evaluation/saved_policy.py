"""A trained policy as an object: it takes observations and returns actions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dm_env import StepType

from acmelike.actors.inference import Inference
from acmelike.environments.interface import check_actions
from acmelike.environments.nests import Leaves
from acmelike.errors import ConfigError
from acmelike.evaluation.policy_file import (
    BEST_POLICY_NAME,
    POLICY_NAME,
    PolicyContents,
    read_policy,
)
from acmelike.types import Array, VectorStep


class SavedPolicy:
    """The greedy policy of a run with its parameters; it needs no program.

    Pass observations as the environment returns them: if the agent normalises
    observations, the statistics are part of the parameters. Small dense networks are
    evaluated in NumPy, without JAX.

    A recurrent policy keeps one state for each of the K episodes that it acts in at the
    same time: one for `act`, K for `act_batch`. The first call and the first one after
    `reset` start new episodes in all of them.

    Args:
      contents: of the policy file.

    Attributes:
      spec: of the environments, without a batch axis.
      environment_factory: makes the environments that the policy was trained in.
      record: the evaluation of these parameters, as in `metrics.jsonl`:
        `learner_steps` is their version, `mean_return` the return.
    """

    def __init__(self, contents: PolicyContents):
        self.spec = contents.spec
        self.environment_factory = contents.environment_factory
        self.record = contents.record
        self._contents = contents
        self._leaves = Leaves(contents.spec.observations, contents.spec.num_frames)
        self._inference: Inference | None = None
        self._num_envs = 0
        self._begins = True

    def reset(self) -> None:
        """Makes the next call the first one of a new episode in every environment."""
        self._begins = True

    def act(self, observation: Any) -> Array:
        """Returns the action for one observation.

        Args:
          observation: `[...]`, with the shape and the nest of the observation spec.

        Returns:
          `[...]` with shape and dtype of the action spec, as the environment takes it;
          a NumPy scalar if actions are scalar.

        Raises:
          ValueError: as `act_batch`.
        """
        arrays = self._leaves.of(observation)
        action: Array = self._act([array[None] for array in arrays])[0]
        return action

    def act_batch(self, observations: Any) -> Array:
        """Returns the actions for the observations of K environments.

        Args:
          observations: `[K, ...]`, nested as the observation spec.

        Returns:
          `[K, ...]` with the dtype of the action spec.

        Raises:
          ValueError: an array is missing, its shape differs from the spec, or its dtype
            cannot be cast to that of the spec without changing its kind; a number is
            not finite, or a category that the spec does not have; or K changed during
            an episode.
        """
        return self._act(self._leaves.of_many(observations))

    def _act(self, arrays: Sequence[Array]) -> Array:
        """Returns the actions for observations, array by array `[K, ...]`."""
        if (bad := self._leaves.bad_number(arrays)) is not None:
            raise ValueError(f"observation {bad.row} has {bad.found}; {bad.rule}")
        num_envs = len(arrays[0])
        inference = self._inference_for(num_envs)
        kind = StepType.FIRST if self._begins else StepType.MID
        zeros = np.zeros(num_envs, np.float32)
        step = VectorStep(
            np.full(num_envs, int(kind), np.int8),
            zeros,
            zeros + 1,
            self._leaves.joined(arrays),
        )
        action, _ = inference.act(step)
        self._begins = False
        return check_actions(action, self.spec, num_envs)

    def make_inference(self, num_envs: int) -> Inference:
        """Makes the same policy for `num_envs` environments stepped as one vector."""
        contents = self._contents
        inference = Inference(
            contents.policy, contents.inputs, self.spec, num_envs=num_envs, seed=0
        )
        inference.set_parameters(contents.parameters)
        return inference

    def _inference_for(self, num_envs: int) -> Inference:
        if self._inference is not None and num_envs == self._num_envs:
            return self._inference
        if not self._begins:
            raise ValueError(
                f"{num_envs} observations after {self._num_envs}: call `reset` before "
                f"acting in another number of environments"
            )
        self._inference, self._num_envs = self.make_inference(num_envs), num_envs
        return self._inference


def load_policy(
    run_folder: str | os.PathLike[str], *, best: bool = False
) -> SavedPolicy:
    """Loads the policy that a run saved in its folder.

    It has the parameters of the run's last evaluation. Loading unpickles the agent's
    builder, and unpickling runs code: load only policies that you trust.

    Args:
      run_folder: of the run.
      best: whether to load the best policy, which a run keeps with `--keep-best`.

    Raises:
      ConfigError: the folder has no policy, or the policy file is damaged, has a newer
        format, or needs code that cannot be imported. The message is one line.
    """
    path = Path(os.path.expanduser(run_folder)) / (
        BEST_POLICY_NAME if best else POLICY_NAME
    )
    if best and not path.exists():
        raise ConfigError(
            f"there is no best policy in {run_folder}: a run leaves {path.name} with "
            f"--keep-best"
        )
    return SavedPolicy(read_policy(path))
