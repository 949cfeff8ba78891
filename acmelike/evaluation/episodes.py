"""Plays whole episodes, and records them."""

from __future__ import annotations

import numpy as np

from acmelike.actors.inference import Inference
from acmelike.core import set_status
from acmelike.environments import EnvironmentFactory, Vector, VectorEnvironment
from acmelike.environments.place import making_environment
from acmelike.environments.wrappers.video import VideoRecorder, check_format
from acmelike.evaluation.video import VideoSettings
from acmelike.types import Array


def play_episodes(
    environment: Vector, inference: Inference, num_episodes: int
) -> Array:
    """Plays E whole episodes in N environments.

    Each environment plays E // N of them, and the first E % N play one more. These
    numbers are fixed in advance: if the episodes that end first counted, short episodes
    would count too often.

    An episode may never end, so the status of the calling node shows the number of
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
        # Also where an environment failed and was recreated.
        so_far[step.first()] = 0.0
        for k in step.last().nonzero()[0]:
            # An environment that has played enough continues, but does not count.
            if len(returns[k]) < wanted[k]:
                returns[k].append(so_far[k])
                num_played += 1
        num_steps += 1
        set_status(f"has played {num_steps:,} steps")
    return np.concatenate(returns)


def record_episode(
    factory: EnvironmentFactory,
    inference: Inference,
    *,
    seed: int,
    vector_index: int = 0,
) -> VideoRecorder:
    """Plays one episode and returns its recorder, which is closed.

    Args:
      factory: makes the environment.
      inference: acts in one environment.
      seed: of the environment.
      vector_index: its number among the environments of the calling node.

    Raises:
      ConfigError: the environment does not render here.
      EnvironmentFault: it failed.
    """
    with making_environment(vector_index):
        recorder = VideoRecorder(factory, seed=seed)
    environment = VectorEnvironment(lambda _: recorder, num_envs=1, seed=seed)
    try:
        play_episodes(environment, inference, 1)
    finally:
        environment.close()
    return recorder


def check_video(settings: VideoSettings, factory: EnvironmentFactory) -> None:
    """Checks that videos can be made, if the settings ask for any.

    Raises:
      ConfigError: the environment does not render here, or a package is missing.
    """
    if not settings.every:
        return
    check_format(settings.format)
    recorder = VideoRecorder(factory, seed=0)
    try:
        recorder.reset()
    finally:
        recorder.close()
