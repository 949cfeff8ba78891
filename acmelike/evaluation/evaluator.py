"""The evaluator: the node that plays whole episodes with given parameters."""

from __future__ import annotations

import logging

from acmelike.actors.inference import Inference
from acmelike.agent import PolicyInputs
from acmelike.environments import EnvironmentFactory, make_vector_environment
from acmelike.errors import first_line
from acmelike.evaluation.coordinator import Coordinator, EvaluationTask
from acmelike.evaluation.episodes import play_episodes, record_episode
from acmelike.evaluation.video import VideoSettings
from acmelike.types import EnvironmentSpec

logger = logging.getLogger("acmelike")


class Evaluator:
    """A worker; each step makes one evaluation.

    Args:
      inputs: the agent's inputs of the greedy policy.
      spec: of the environments.
      environment_factory: makes the environments.
      coordinator: hands out the evaluations and takes the returns.
      num_envs: environments, which are stepped side by side.
      num_episodes: episodes of one evaluation, at least `num_envs`.
      video: when one more episode is recorded.
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
        video: VideoSettings,
        seed: int,
    ):
        self._coordinator = coordinator
        self._environment_factory = environment_factory
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        self._inputs, self._spec = inputs, spec
        self._num_episodes, self._seed = num_episodes, seed
        self._inference: Inference | None = None
        self._video, self._num_judged = video, 0
        self._video_inference: Inference | None = None

    def step(self) -> None:
        """Waits for the next evaluation, makes it and reports the returns."""
        task = self._coordinator.next_evaluation()
        if self._inference is None:
            self._inference = self._make_inference(task, self._environment.num_envs)
        self._inference.set_parameters(task.parameters)
        returns = play_episodes(self._environment, self._inference, self._num_episodes)
        video = self._record(task) if self._is_video_due(task) else b""
        self._coordinator.report(task.number, returns, video)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()

    def _is_video_due(self, task: EvaluationTask) -> bool:
        if not self._video.every or task.is_again:
            return False
        self._num_judged += 1
        is_first = self._num_judged % self._video.every == 1 % self._video.every
        return is_first or task.end_reason is not None

    def _record(self, task: EvaluationTask) -> bytes:
        """A video of one more episode; empty if that fails, as the run continues."""
        if self._video_inference is None:
            self._video_inference = self._make_inference(task, 1)
        self._video_inference.set_parameters(task.parameters)
        try:
            recorder = record_episode(
                self._environment_factory,
                self._video_inference,
                seed=self._seed + self._num_judged,
                vector_index=self._environment.num_envs,
            )
            return recorder.encoded(self._video.format)
        except Exception as error:  # Also errors of video packages.
            reason = first_line(error)
            logger.warning("no video at %s steps: %s", task.env_steps, reason)
            return b""

    def _make_inference(self, task: EvaluationTask, num_envs: int) -> Inference:
        return Inference(
            task.policy, self._inputs, self._spec, num_envs=num_envs, seed=self._seed
        )
