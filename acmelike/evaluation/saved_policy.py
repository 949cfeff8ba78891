"""A trained policy as an object: observations in, actions out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from dm_env import StepType
from numpy.typing import ArrayLike

from acmelike.actors.policy_runner import Inference
from acmelike.evaluation.policy_file import POLICY_NAME, Contents, read_policy
from acmelike.types import Array, VectorStep


class SavedPolicy:
    """The greedy policy of a run, with its parameters, apart from any program.

    What normalises observations is part of the parameters, so observations come as the
    environment gives them. Small dense networks act in NumPy, without JAX.

    A policy with a memory has one for each of the K episodes that it acts in at a time:
    one for `act`, K for `act_batch`. All of them begin with the first call and with
    `reset`.

    Args:
      contents: of the run's policy file.

    Attributes:
      spec: of the environments, without a batch axis.
      environment_factory: makes the environments that it was trained in.
      record: of the evaluation of these parameters, as in `metrics.jsonl`:
        `learner_steps` is their version, `mean_return` the return.
    """

    def __init__(self, contents: Contents):
        self.spec = contents.spec
        self.environment_factory = contents.environment_factory
        self.record = contents.record
        self._contents = contents
        self._inference: Inference | None = None
        self._num_envs = 0
        self._begins = True

    def reset(self) -> None:
        """Begins an episode: of every environment, in a batch."""
        self._begins = True

    def act(self, observation: ArrayLike) -> Array:
        """The action for one observation, neither with a batch axis.

        Args:
          observation: `[...]`.

        Returns:
          `[...]` of the action spec's dtype; a NumPy scalar if actions are scalar.

        Raises:
          TypeError, ValueError: as from `act_batch`.
        """
        action: Array = self.act_batch(np.asarray(observation)[None])[0]
        return action

    def act_batch(self, observations: ArrayLike) -> Array:
        """Actions `[K, ...]` for observations `[K, ...]` of K environments.

        Raises:
          TypeError: observations of another kind than the spec's dtype.
          ValueError: of another shape, or of another K in the middle of episodes.
        """
        spec = self.spec.observations
        owned = np.asarray(observations).astype(
            spec.dtype, casting="same_kind", copy=False
        )
        if owned.shape[1:] != spec.shape or owned.ndim != len(spec.shape) + 1:
            raise ValueError(
                f"one observation has the shape {owned.shape[1:]}, "
                f"the policy was trained with {spec.shape}"
            )
        inference = self._inference_for(len(owned))
        kind = StepType.FIRST if self._begins else StepType.MID
        zeros = np.zeros(len(owned), np.float32)
        step = VectorStep(
            np.full(len(owned), int(kind), np.int8), zeros, zeros + 1, owned
        )
        action, _ = inference.act(step)
        self._begins = False
        return action

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
                f"{num_envs} observations after {self._num_envs}: `reset` begins "
                f"episodes of another number of environments"
            )
        self._inference, self._num_envs = self.make_inference(num_envs), num_envs
        return self._inference


def load_policy(run_folder: str | os.PathLike[str]) -> SavedPolicy:
    """The policy that a run left in its folder.

    It is the one that the run's last evaluation judged; of a run that was interrupted,
    that of the last evaluation before. Loading it unpickles the agent's builder, which
    runs code: load only what you trust.

    Raises:
      ConfigError: the folder has no policy, or one that is damaged, of a later format,
        or made of code that is not here. In one line.
    """
    return SavedPolicy(read_policy(Path(run_folder) / POLICY_NAME))
